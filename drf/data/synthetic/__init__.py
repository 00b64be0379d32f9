"""Synthetic faces: a shaded 3-D head with exact 68 points, made anew from (subset, index, seed).

Numpy and OpenCV only. See `sculpt` (the average surface and how heads differ), `head` (identity,
expression, points, pose and camera), `skin` and `raster` (the shaded head, light and sensor),
`parts`, `body` and `paint` (the rest of the picture), `face` (all together, and how hard each
subset is).
"""

from drf.data.synthetic.face import (
    GENERATOR_VERSION,
    SUBSETS,
    Profile,
    SyntheticFace,
    face_points,
    render_face,
)

__all__ = ["GENERATOR_VERSION", "SUBSETS", "Profile", "SyntheticFace", "face_points", "render_face"]
