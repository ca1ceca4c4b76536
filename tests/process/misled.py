"""A run whose cost model believes that files take a fraction of the memory they will, on a machine it takes for larger.

`python -m tests.process.misled --input IN --output OUT --profile FILE` runs it and exits as the run does. So many files
are admitted at once that they cannot all be held: what saves them is the governor alone.
"""

from __future__ import annotations

import argparse
from dataclasses import replace
from pathlib import Path

from pyprocessor.costs import CostModel
from pyprocessor.costs.job_prior import prior_cost
from pyprocessor.costs.model import class_of
from pyprocessor.engine.engine import execute
from pyprocessor.inspect.probe import probe
from pyprocessor.models import Profile
from pyprocessor.profiles import load
from pyprocessor.recipes.features import features
from tests.process.runs import Recorder, request

OBSERVED = 20
"""Attempts the model believes to have seen of every class: past slow start, and more than a run of this size adds."""


def misled_model(clips: Path, profile: Profile, divisor: float) -> CostModel:
    """A model that has learned, of every class among the clips, that files take a `divisor`th of their prior's memory.

    The priors are what was measured, so this is as wrong as a table of another encoder's would be.
    """
    model = CostModel()
    seen = set()
    for clip in sorted(clips.iterdir()):
        asked = features(profile, probe(str(clip).encode(), size_bytes=clip.stat().st_size))
        if class_of(asked, 1) not in seen:
            seen.add(class_of(asked, 1))
            prior = prior_cost(asked, 1)
            for _ in range(OBSERVED):
                model = model.observe(asked, 1, replace(prior, memory_bytes=round(prior.memory_bytes / divisor)))
    return model


def main() -> None:
    """Run it and print its notices."""
    parser = argparse.ArgumentParser(prog="python -m tests.process.misled", description=__doc__)
    parser.add_argument("--input", type=Path, required=True)
    parser.add_argument("--output", type=Path, required=True)
    parser.add_argument("--profile", required=True)
    parser.add_argument("--jobs", type=int, default=6)
    parser.add_argument("--cores", type=float, default=8.0)
    parser.add_argument("--divisor", type=float, default=4.0)
    parser.add_argument("--max-memory", type=float, default=80.0)
    options = parser.parse_args()
    profile = load(options.profile, environment={}).profile
    profile = replace(profile, batch=replace(profile.batch, jobs=options.jobs, max_memory_percent=options.max_memory))
    model = misled_model(options.input, profile, options.divisor)
    asked = request(options.input, options.output, profile=profile)
    result = execute(asked, Recorder(), model=model, cores=options.cores)
    raise SystemExit(int(result.exit_code))


if __name__ == "__main__":
    main()
