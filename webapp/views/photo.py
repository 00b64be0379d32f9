"""Try a photo: a visitor's photo, the landmarks of its faces, and how sure the model is of them.

The photo is in the memory of the session that it was uploaded in, and nowhere else: no cache and no
file has it.
"""

from __future__ import annotations

from threading import Lock

import streamlit as st

from drf import loading
from drf.data.crops import encode_jpeg
from drf.errors import DrfError
from drf.inference import photos
from drf.inference.alignment import Aligner
from drf.inference.onnx_network import OnnxNetwork
from drf.inference.photos import Located
from webapp import photo
from webapp.links import url_keys, widgets
from webapp.ui.text import percent, plain

_SOURCES = ["File", "Clipboard", "Camera"]
_PASTED = "photo_pasted"
_WIDE_PX, _FACE_PX = 900, 560
_MOST_FACES = 24


@st.cache_resource(show_spinner="Loading the model")
def _model() -> tuple[Aligner, Lock]:
    """Return the released model, and the lock by which one photo at a time is in memory decoded."""
    photo.keep_uploads_in_memory()
    return loading.load(), Lock()


def page() -> None:
    st.title("Try a photo")
    if not photo.switched_on():
        st.info(
            "This server does not take photos. On a machine of your own, this command does the"
            " same:",
            icon=":material/no_photography:",
        )
        st.code("drf predict photo.jpg --overlay drawn", language="bash")
        return
    model, turn = _model()
    st.markdown(
        f"The model `{loading.DEFAULT}` finds the faces of a photo, their landmarks, and the error"
        " to expect at each. The photo is not stored: it is in the memory of the server until you"
        " choose another one or close the page."
    )
    _card(model)
    source = widgets.segmented_control(
        url_keys.PHOTO_SOURCE, "Where the photo comes from", _SOURCES
    )
    given = _given(source)
    if given is None:
        return
    name, data = given
    try:
        with turn:
            located = photos.locate_in(model, name, data)
            pictures = _pictures(located, model)
    except DrfError as error:
        st.error(plain(f"{error}."), icon=":material/broken_image:")
        return
    _result(located, model, pictures)


def _given(source: str) -> tuple[str, bytes] | None:
    """Return name and bytes of the visitor's photo, None before there is one."""
    if source != "Clipboard":
        st.session_state.pop(_PASTED, None)
    if source == "File":
        uploaded = st.file_uploader(
            "Drop a photo here, or choose one",
            type=list(photo.KINDS),
            max_upload_size=photo.MOST_MEGABYTES,
            key="photo_file",
        )
        return (uploaded.name, uploaded.getvalue()) if uploaded else None
    if source == "Camera":
        taken = st.camera_input("Take a photo", key="photo_camera", width=640)
        return ("camera.jpg", taken.getvalue()) if taken else None
    pasted = st.chat_input(
        "Click here, paste a photo, then press Enter",
        accept_file=True,
        file_type=list(photo.KINDS),
        max_upload_size=photo.MOST_MEGABYTES,
        key="photo_clipboard",
    )
    # What was pasted is a widget's value for one run of the page alone.
    if pasted and pasted.files:
        st.session_state[_PASTED] = (pasted.files[0].name, pasted.files[0].getvalue())
    return st.session_state.get(_PASTED)


def _pictures(located: Located, model: Aligner) -> list[bytes]:
    """Return JPEG bytes of the photo with all its faces, and of each face large."""
    drawn = [photos.overlay(located, model.markup, _WIDE_PX)]
    for face in located.faces[:_MOST_FACES]:
        drawn.append(photos.close_up(located, face, model.markup, _FACE_PX))
    return [encode_jpeg(picture) for picture in drawn]


def _result(located: Located, model: Aligner, pictures: list[bytes]) -> None:
    n = len(located.faces)
    height, width = located.picture.shape[:2]
    whole, *large = pictures
    if not n:
        st.info(
            "No face found. Faces must be wider than about a fiftieth of the photo and not turned"
            " to a full profile. Where you know the place of a face, `drf predict --box` takes it.",
            icon=":material/face_retouching_off:",
        )
        st.image(whole, width=_WIDE_PX, alt=f"The photo, {width} x {height} pixels, without a face")
        return
    st.subheader("1 face found" if n == 1 else f"{n} faces found")
    with st.container(horizontal=True, gap="small"):
        _downloads(located, model)
    st.caption(
        "Discs are landmarks, lines join those of an outline. The ellipses of"
        f" {photos.ELLIPSE_SIGMAS:g} standard deviations show the error that the model expects."
        f" Where it expects more than {percent(100 * model.network.largest_error)} of the box's"
        " side, a detection is not taken for a face."
    )
    if n > 1:
        st.image(
            whole, width=_WIDE_PX, alt=f"The photo with landmarks and ellipses on its {n} faces"
        )
    with st.grid(2, min_column_width=340, gap="medium") as grid:
        for number, (face, picture) in enumerate(zip(located.faces, large, strict=False), start=1):
            with grid.cell(), st.container(border=True, height="stretch"):
                said = photo.doubt(face, model.markup)
                st.image(picture, width="stretch", alt=f"Face {number}, large: {said}")
                st.markdown(f"**Face {number}.** Score of the detector: {face.score:.2f}. {said}")
    if n > _MOST_FACES:
        st.caption(f"and {n - _MOST_FACES} more, which are in the downloads.")


def _downloads(located: Located, model: Aligner) -> None:
    for kind, text in (
        ("JSON", photo.as_json(located, loading.DEFAULT, model.markup)),
        ("CSV", photo.as_csv(located, model.markup)),
    ):
        st.download_button(
            f"Download {kind}",
            text,
            f"landmarks.{kind.lower()}",
            f"application/{kind.lower()}" if kind == "JSON" else "text/csv",
            on_click="ignore",
            icon=":material/download:",
        )


def _card(model: Aligner) -> None:
    network = model.network
    assert isinstance(network, OnnxNetwork)
    with st.popover("The model's card", icon=":material/description:"):
        st.markdown("  \n".join(plain(line) for line in network.description.card.splitlines()))


page()
