"""Synthetic faces: a shaded 3-D head with exact 68 points, made anew from (subset, index, seed).

Numpy and OpenCV only. See `sculpt` (the average surface), `head` (identity, expression, points),
`camera` (pose), `skin` and `raster` (the shaded head), `parts`, `body`, `occluders`, `background`,
`sensor` (the rest of the picture) and `profiles` (how hard each subset is).
"""

from drf.data.synthetic.face import GENERATOR_VERSION, SyntheticFace, face_points, render_face
from drf.data.synthetic.profiles import SUBSETS, Profile

__all__ = ["GENERATOR_VERSION", "SUBSETS", "Profile", "SyntheticFace", "face_points", "render_face"]
