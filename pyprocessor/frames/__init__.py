"""What do a film's pictures show? Frames as NumPy arrays, analyses, near-duplicates; needs the extra `frames`."""

from pyprocessor.frames.analysis import Analysis, analyse
from pyprocessor.frames.batches import map_frames
from pyprocessor.frames.duplicates import near_duplicates
from pyprocessor.frames.pictures import Span
from pyprocessor.frames.reading import Frame, FrameReader, read_frames
from pyprocessor.frames.sheet import contact_sheet
from pyprocessor.models.analysis import AnalysisSettings

__all__ = [
    "Analysis",
    "AnalysisSettings",
    "Frame",
    "FrameReader",
    "Span",
    "analyse",
    "contact_sheet",
    "map_frames",
    "near_duplicates",
    "read_frames",
]
