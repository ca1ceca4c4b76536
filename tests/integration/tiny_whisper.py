"""A model of faster-whisper's real format that says what a test wants, whatever it is given to hear.

All layers do nothing; the embedding of each position leads to one token, so the model says the same in every window.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
from ctranslate2.specs import WhisperSpec
from ctranslate2.specs.model_spec import index_spec
from tokenizers import Tokenizer, decoders, models, pre_tokenizers

WIDTH, HEADS, MELS, WINDOW, CONTEXT = 64, 2, 80, 1500, 448
LANGUAGES = ("en", "de")
EMPTY = ""
"""By this token in its vocabulary a model for many languages is told from one for English alone."""
SPECIAL = (
    *("<|endoftext|>", "<|startoftranscript|>", *(f"<|{language}|>" for language in LANGUAGES), "<|translate|>"),
    *("<|transcribe|>", "<|startoflm|>", "<|startofprev|>", "<|nospeech|>", "<|notimestamps|>"),
)
TIMES = tuple(f"<|{number * 0.02:.2f}|>" for number in range(WINDOW + 1))
SHAPES = {
    "self_attention/linear_0": (3 * WIDTH, WIDTH),
    "attention/linear_1": (2 * WIDTH, WIDTH),
    "ffn/linear_0": (4 * WIDTH, WIDTH),
    "ffn/linear_1": (WIDTH, 4 * WIDTH),
    "conv1": (WIDTH, MELS, 3),
    "conv2": (WIDTH, WIDTH, 3),
}
"""Of weights, by the end of their layer's name; all others are square."""
SURE = 2.0
"""How much of a logit each of the embedding's numbers makes: enough for a confidence near 1."""


def make(
    folder: Path, said: str = "hello there world", *, seconds: float = 2.0, language: str = "en", sure: float = SURE
) -> Path:
    """Write a model that says these words in the first so many seconds of each window; none where `said` is empty."""
    folder.mkdir(parents=True)
    words = [_letters(f" {word}") for word in said.split()]
    tokens = [*_bytes(), *words, EMPTY, *SPECIAL, *TIMES]
    end = f"<|{seconds:.2f}|>"
    spoken = ["<|0.00|>", *words, end, end] if words else []
    # By the position of the token before it: the beginning, the language, the task, then what was said.
    wanted = [f"<|{language}|>", "<|transcribe|>", *spoken, "<|endoftext|>"]
    spec = WhisperSpec(1, HEADS, 1, HEADS)
    positions = np.eye(WIDTH, dtype=np.float32)[np.minimum(np.arange(CONTEXT), len(wanted) - 1)]
    spec.decoder.position_encodings.encodings = positions
    spec.encoder.position_encodings.encodings = np.zeros((WINDOW, WIDTH), np.float32)
    spec.decoder.embeddings.weight = np.zeros((len(tokens), WIDTH), np.float32)
    spec.decoder.projection.weight = np.zeros((len(tokens), WIDTH), np.float32)
    for position, token in enumerate(wanted):
        spec.decoder.projection.weight[tokens.index(token), position] = sure
    for name, value in spec.variables().items():
        if value is None:
            layer, _, field = name.rpartition("/")
            shape = next((shape for end, shape in SHAPES.items() if layer.endswith(end)), (WIDTH, WIDTH))
            weights = {"gamma": np.ones(WIDTH), "beta": np.zeros(WIDTH), "weight": np.zeros(shape)}[field]
            setattr(index_spec(spec, layer), field, weights.astype(np.float32))
    spec.config.suppress_ids = spec.config.suppress_ids_begin = []
    spec.config.lang_ids = [tokens.index(f"<|{name}|>") for name in LANGUAGES]
    spec.config.alignment_heads = [(0, 0)]
    spec.register_vocabulary(tokens)
    spec.validate()
    spec.optimize(quantization="int8")
    spec.save(str(folder))
    tokenizer = Tokenizer(models.BPE({token: number for number, token in enumerate(tokens)}, []))
    tokenizer.pre_tokenizer, tokenizer.decoder = pre_tokenizers.ByteLevel(add_prefix_space=False), decoders.ByteLevel()
    tokenizer.add_special_tokens([*SPECIAL, *TIMES])
    tokenizer.save(str(folder / "tokenizer.json"))
    return folder


def _bytes() -> list[str]:
    """A letter for each byte, as byte level tokenizers have them, so that any text can be encoded."""
    return sorted(pre_tokenizers.ByteLevel.alphabet())


def _letters(text: str) -> str:
    ((letters, _),) = pre_tokenizers.ByteLevel(add_prefix_space=False).pre_tokenize_str(text)
    return letters
