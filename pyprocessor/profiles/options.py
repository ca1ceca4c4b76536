"""Which encoder options may a profile pass on? None that names a file or sets threads."""

from __future__ import annotations

import re

from pyprocessor.models.encoders import video_encoder
from pyprocessor.profiles.problems import listed, nearest


def _words(text: str) -> frozenset[str]:
    return frozenset(text.split())


_GENERIC = _words(
    "g keyint_min bf refs profile level qmin qmax qdiff qcomp sc_threshold b_strategy me_range cmp subcmp trellis "
    "bufsize maxrate minrate b_qfactor i_qfactor b_qoffset i_qoffset mbd slices"
)
_BY_FAMILY: dict[str, frozenset[str]] = {
    "x264": _words(
        "aq-mode aq-strength psy psy-rd rc-lookahead weightb weightp intra-refresh bluray-compat b-bias b-pyramid "
        "mixed-refs 8x8dct fast-pskip aud mbtree cplxblur partitions direct-pred nal-hrd avcintra-class me_method "
        "motion-est forced-idr coder chromaoffset noise_reduction wpredp a53cc crf_max subq x264-params"
    ),
    "x265": _words("forced-idr a53cc x265-params"),
    "svt-av1": _words("svtav1-params"),
    "aom": _words(
        "cpu-used auto-alt-ref lag-in-frames arnr-max-frames arnr-strength aq-mode error-resilience static-thresh "
        "drop-threshold denoise-noise-level denoise-block-size undershoot-pct overshoot-pct minsection-pct "
        "maxsection-pct frame-parallel tiles tile-columns tile-rows row-mt enable-cdef enable-global-motion "
        "enable-intrabc enable-restoration usage enable-palette enable-obmc"
    ),
    "vp9": _words(
        "lag-in-frames arnr-maxframes arnr-strength arnr-type deadline quality error-resilient max-intra-rate "
        "static-thresh drop-threshold noise-sensitivity undershoot-pct overshoot-pct auto-alt-ref cpu-used speed "
        "lossless tile-columns tile-rows frame-parallel aq-mode row-mt tune-content corpus-complexity enable-tpl "
        "min-gf-interval sharpness"
    ),
    "vp8": _words(
        "lag-in-frames arnr-maxframes arnr-strength arnr-type deadline quality error-resilient max-intra-rate "
        "static-thresh drop-threshold noise-sensitivity undershoot-pct overshoot-pct auto-alt-ref cpu-used speed "
        "screen-content-mode sharpness"
    ),
    "prores": _words("vendor mbs_per_slice bits_per_mb quant_mat alpha_bits"),
    "ffv1": _words("coder context slicecrc"),
    "mpeg4": _words("mpeg_quant data_partitioning alternate_scan qscale q mepc mepre"),
    "mpeg2video": _words("intra_vlc non_linear_quant alternate_scan seq_disp_ext video_format qscale q"),
    "mjpeg": _words("huffman qscale q"),
    "theora": _words("qscale q"),
}
_UNKNOWN_FAMILY = _words(
    "rc rc_mode rc-lookahead cq qp global_quality look_ahead look_ahead_depth multipass spatial-aq spatial_aq "
    "temporal-aq temporal_aq aq-strength b_ref_mode tier coder quality usage speed tiles tile-columns tile-rows "
    "row-mt async_depth low_power zerolatency nonref_p strict_gop weighted_pred vbaq preanalysis qp_i qp_p qp_b "
    "allow_sw realtime constant_bit_rate prio_speed allow_skip_frames"
)
"""Of hardware encoders and others that are not known here by name."""

_PARAMETERS: dict[str, frozenset[str]] = {
    "x264-params": _words(
        "keyint min-keyint scenecut bframes b-adapt b-bias b-pyramid open-gop cabac ref deblock slices "
        "slice-max-size slice-max-mbs slices-max intra-refresh nr interlaced tff bff constrained-intra qpmin qpmax "
        "qpstep rc-lookahead vbv-maxrate vbv-bufsize vbv-init crf-max ratetol ipratio pbratio chroma-qp-offset "
        "aq-mode aq-strength mbtree qcomp cplxblur qblur partitions direct weightb weightp me merange mvrange "
        "mvrange-thread subme psy-rd psy mixed-refs chroma-me 8x8dct trellis fast-pskip dct-decimate deadzone-inter "
        "deadzone-intra overscan videoformat range colorprim transfer colormatrix chromaloc nal-hrd filler "
        "pic-struct aud bluray-compat avcintra-class stitchable level alternative-transfer"
    ),
    "x265-params": _words(
        "keyint min-keyint scenecut scenecut-bias open-gop gop-lookahead bframes bframe-bias b-adapt b-pyramid "
        "b-intra weightp weightb rc-lookahead lookahead-slices ref limit-refs limit-modes rect amp me subme merange "
        "temporal-mvp max-merge early-skip rskip rskip-edge-threshold tskip tskip-fast rd rdoq-level rd-refine "
        "dynamic-rd psy-rd psy-rdoq ssim-rd tu-intra-depth tu-inter-depth limit-tu ctu min-cu-size max-tu-size "
        "strong-intra-smoothing constrained-intra fast-intra cu-lossless signhide splitrd-skip lossless deblock sao "
        "sao-non-deblock limit-sao selective-sao aq-mode aq-strength aq-motion hevc-aq qg-size cutree ipratio "
        "pbratio qcomp qblur cplxblur qpmin qpmax qpstep cbqpoffs crqpoffs nr-intra nr-inter vbv-maxrate vbv-bufsize "
        "vbv-init vbv-end crf-max crf-min strict-cbr rc-grain const-vbv level-idc high-tier uhd-bd "
        "allow-non-conformance sar display-window overscan videoformat range colorprim transfer colormatrix "
        "chromaloc hdr10 hdr10-opt hdr min-luma max-luma repeat-headers aud eob eos hrd info temporal-layers "
        "intra-refresh radl fades hist-scenecut copy-pic slices idr-recovery-sei single-sei vui-timing-info "
        "vui-hrd-info opt-qp-pps opt-ref-list-length-pps interlace log-level mcstf"
    ),
    "svtav1-params": _words(
        "tune keyint irefresh-type scd lookahead hierarchical-levels pred-struct aq-mode enable-overlays enable-tf "
        "tf-strength enable-cdef enable-restoration enable-dlf enable-qm qm-min qm-max chroma-qm-min chroma-qm-max "
        "film-grain film-grain-denoise fast-decode tile-rows tile-columns scm sharpness enable-variance-boost "
        "variance-boost-strength variance-octile variance-boost-curve qp-scale-compress-strength luminance-qp-bias "
        "max-tx-size ac-bias undershoot-pct overshoot-pct max-qp min-qp mbr buf-initial-sz buf-optimal-sz buf-sz "
        "gop-constraint-rc recode-loop color-primaries transfer-characteristics matrix-coefficients color-range "
        "chroma-sample-position startup-mg-size startup-qp-offset superres-mode superres-denom superres-kf-denom "
        "superres-qthres superres-kf-qthres lossless adaptive-film-grain"
    ),
}
_MANAGED = _words(
    "threads lookahead-threads sliced-threads sync-lookahead pools frame-threads numa-pools lp pin ss "
    "level-of-parallelism crf qp bitrate preset tune rc pass mastering-display content-light cll master-display "
    "max-cll"
)
"""Set by pyprocessor itself: threads by its scheduler, quality and preset by their own keys, HDR as in the source.

A malformed `mastering-display` keeps SVT-AV1 busy for ever (tried with FFmpeg 9.0.2).
"""

_VALUE = re.compile(r"[A-Za-z0-9_.,:+-]{1,64}", re.ASCII)
_PARAMETER_VALUE = re.compile(r"[A-Za-z0-9_.,;()+|-]{1,256}", re.ASCII)
_LONGEST_PARAMETERS = 2000


def option_problem(name: str, value: str, encoder: str) -> str | None:
    """Why this option may not be given to the encoder, as the end of a sentence; None where it may."""
    family = video_encoder(encoder).family
    own = _UNKNOWN_FAMILY if family is None else _BY_FAMILY.get(family, frozenset())
    allowed = _GENERIC | own
    if name in ("threads", "filter_threads"):
        return "cannot be set here, because pyprocessor shares the processor's cores out itself"
    if name not in allowed:
        close = nearest(name, allowed)
        hint = f"; did you mean `{close}`" if close else f"; allowed are {listed(sorted(allowed), 'and')}"
        return f"is not among the options allowed for {encoder}{hint}"
    if name in _PARAMETERS:
        return _parameters_problem(name, value)
    if not _VALUE.fullmatch(value):
        return "must be a word or a number of at most 64 letters, digits and . , : + - _"
    return None


def _parameters_problem(option: str, value: str) -> str | None:
    """Why a `key=value:key=value` text may not be given: the encoder reads it itself, and can open files."""
    known = _PARAMETERS[option]
    if not value or len(value) > _LONGEST_PARAMETERS:
        return f"must be a text key=value:key=value of at most {_LONGEST_PARAMETERS} characters"
    for item in value.split(":"):
        key, equals, setting = item.partition("=")
        name = key.replace("_", "-")
        if name not in known and name.removeprefix("no-") not in known:
            if name in _MANAGED:
                return f"must not contain {key}, which pyprocessor sets itself"
            close = nearest(name, known)
            hint = f"; did you mean {close}" if close else ""
            return f"contains {key[:40]!r}, which is not among the parameters allowed in {option}{hint}"
        if not equals:
            return f"must give every parameter a value: write {key}=1"
        if not _PARAMETER_VALUE.fullmatch(setting):
            return f"gives {key} the value {setting[:40]!r}; only letters, digits and . , ; ( ) + | - _ may stand there"
    return None
