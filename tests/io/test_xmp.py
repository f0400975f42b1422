"""XMP face regions: every orientation, other programs' forms and content, and what is refused."""

from __future__ import annotations

import json
import math
import os
import shutil
import subprocess
import tempfile
import unicodedata
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from facekit.errors import FacekitError, FileFormatError, ImageError, InvalidArgumentError
from facekit.io.images import load_image
from facekit.io.xmp import (
    FaceRegion,
    read_regions,
    sidecar_path,
    tagged_people,
    write_regions,
)

WIDTH, HEIGHT = 64, 40  # as stored
BOX = (8.0, 4.0, 6.0, 12.0)
needs_exiftool = pytest.mark.skipif(
    shutil.which("exiftool") is None, reason="ExifTool is not installed"
)


def image(folder: Path, orientation: int = 1, name: str = "party.png") -> Path:
    """Makes a photo that is stored with an orientation."""
    exif = Image.Exif()
    exif[0x112] = orientation
    path = folder / name
    Image.new("RGB", (WIDTH, HEIGHT)).save(path, exif=exif)
    return path


def marked(folder: Path, orientation: int, suffix: str = ".png") -> tuple[Path, FaceRegion]:
    """Makes a photo with a white patch, and returns where the patch is when it is upright."""
    stored = np.zeros((HEIGHT, WIDTH, 3), dtype=np.uint8)
    stored[4:16, 8:14] = 255
    exif = Image.Exif()
    exif[0x112] = orientation
    path = folder / f"marked{orientation}{suffix}"
    Image.fromarray(stored).save(path, exif=exif)
    rows, columns = np.nonzero(load_image(path)[..., 0] > 127)
    left, top = int(columns.min()), int(rows.min())
    return path, FaceRegion(
        (left, top, int(columns.max()) + 1 - left, int(rows.max()) + 1 - top), "Ada"
    )


def sidecar(path: Path, regions: str, around: str = "") -> Path:
    """Writes a sidecar with this XML as its regions."""
    target = path.with_name(path.name + ".xmp")
    target.write_text(
        '<?xpacket begin="" id="W5M0MpCehiHzreSzNTczkc9d"?>\n'
        '<x:xmpmeta xmlns:x="adobe:ns:meta/">\n'
        '<rdf:RDF xmlns:rdf="http://www.w3.org/1999/02/22-rdf-syntax-ns#">\n'
        '<rdf:Description rdf:about="" xmlns:dc="http://purl.org/dc/elements/1.1/"\n'
        ' xmlns:mwg-rs="http://www.metadataworkinggroup.com/schemas/regions/"\n'
        ' xmlns:stArea="http://ns.adobe.com/xmp/sType/Area#"\n'
        ' xmlns:stDim="http://ns.adobe.com/xap/1.0/sType/Dimensions#"\n'
        f' xmlns:xmp="http://ns.adobe.com/xap/1.0/" xmp:Rating="4">\n{regions}{around}\n'
        '</rdf:Description></rdf:RDF></x:xmpmeta>\n<?xpacket end="w"?>\n',
        encoding="utf-8",
    )
    return target


def area(x: float, y: float, w: float, h: float, *, name: str = "Ada", kind: str = "Face") -> str:
    """Returns a region in the short form of digiKam and Lightroom."""
    return (
        f'<rdf:li><rdf:Description mwg-rs:Name="{name}" mwg-rs:Type="{kind}">'
        f'<mwg-rs:Area stArea:x="{x}" stArea:y="{y}" stArea:w="{w}" stArea:h="{h}" '
        'stArea:unit="normalized"/></rdf:Description></rdf:li>'
    )


def listed(*areas: str, size: tuple[int, int] = (WIDTH, HEIGHT)) -> str:
    return (
        '<mwg-rs:Regions rdf:parseType="Resource">'
        f'<mwg-rs:AppliedToDimensions stDim:w="{size[0]}" stDim:h="{size[1]}" '
        'stDim:unit="pixel"/>'
        f"<mwg-rs:RegionList><rdf:Bag>{''.join(areas)}</rdf:Bag></mwg-rs:RegionList>"
        "</mwg-rs:Regions>"
    )


@settings(max_examples=60, deadline=None)
@given(
    orientation=st.integers(1, 8),
    left=st.floats(0, 20),
    top=st.floats(0, 20),
    width=st.floats(0.5, 20),
    height=st.floats(0.5, 20),
    name=st.one_of(
        st.none(),
        st.text(st.characters(exclude_categories=["C", "Z"]), min_size=1).filter(
            lambda text: text.casefold() != "unknown"
        ),
    ),
)
def test_what_is_written_is_read_back_in_any_orientation(
    orientation: int, left: float, top: float, width: float, height: float, name: str | None
) -> None:
    with tempfile.TemporaryDirectory() as folder:
        path = image(Path(folder), orientation)
        write_regions(path, [FaceRegion((left, top, width, height), name)])
        (region,) = read_regions(path)
    assert region.box == pytest.approx((left, top, width, height), abs=1e-3)
    assert (region.name or "").casefold() == unicodedata.normalize("NFC", name or "").casefold()


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize("suffix", [".jpg", ".png", ".tiff", ".webp"])
def test_areas_relate_to_the_image_as_it_is_stored(
    tmp_path: Path, orientation: int, suffix: str
) -> None:
    path, region = marked(tmp_path, orientation, suffix)
    middle = ((8 + 6 / 2) / WIDTH, (4 + 12 / 2) / HEIGHT)
    sidecar(path, listed(area(*middle, 6 / WIDTH, 12 / HEIGHT)))
    (found,) = read_regions(path)
    assert found.name == "Ada"
    # JPEG and WebP smear the edge of the patch.
    assert found.box == pytest.approx(region.box, abs=2 if suffix in (".jpg", ".webp") else 1e-3)


@needs_exiftool
@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize("embed", [False, True])
def test_exiftool_reads_and_writes_the_same_regions(
    tmp_path: Path, orientation: int, embed: bool
) -> None:
    path, region = marked(tmp_path, orientation, ".jpg")
    original = path.read_bytes()
    target = write_regions(path, [region], embed=embed)
    shown = subprocess.run(
        ["exiftool", "-struct", "-j", "-n", "-XMP-mwg-rs:all", str(target)],
        capture_output=True,
        check=True,
    )
    info = json.loads(shown.stdout)[0]["RegionInfo"]
    assert info["AppliedToDimensions"] == {"W": WIDTH, "H": HEIGHT, "Unit": "pixel"}
    (one,) = info["RegionList"]
    assert (one["Name"], one["Type"], one["Area"]["Unit"]) == ("Ada", "Face", "normalized")
    # Where the patch is in the stored pixels, however they are turned.
    stored = [one["Area"][key] for key in "XYWH"]
    assert stored == pytest.approx(
        [11 / WIDTH, 10 / HEIGHT, 6 / WIDTH, 12 / HEIGHT], abs=2 / HEIGHT
    )
    # What ExifTool writes anew, in its own form, is read back.
    copy = tmp_path / "copy.xmp"
    subprocess.run(["exiftool", "-q", "-o", str(copy), str(target)], check=True)
    if embed:
        assert path.with_name(path.name + "_original").read_bytes() == original
    else:
        assert path.read_bytes() == original
        copy.replace(target)
    (back,) = read_regions(path)
    assert back.name == "Ada"
    assert back.box == pytest.approx(region.box, abs=1e-3)


def test_all_else_in_a_sidecar_is_kept_byte_for_byte(tmp_path: Path) -> None:
    path = image(tmp_path)
    target = sidecar(
        path,
        listed(
            area(0.8, 0.8, 0.1, 0.2, name="Grace &amp; Co"),
            area(0.2, 0.2, 0.1, 0.1, name="Rex", kind="Pet"),
        ),
        around="<!-- ünï --><dc:subject><rdf:Bag><rdf:li>holiday</rdf:li></rdf:Bag></dc:subject>",
    )
    before = target.read_bytes()
    write_regions(path, [FaceRegion(BOX, "Ada")])
    after = target.read_bytes()
    start = next(i for i, pair in enumerate(zip(before, after, strict=False)) if len(set(pair)) > 1)
    added = len(after) - len(before)
    assert before == after[:start] + after[start + added :]
    assert b"Ada" in after[start : start + added]
    assert [region.name for region in read_regions(path)] == ["Grace & Co", "Ada"]
    write_regions(path, [FaceRegion(BOX, "Ada")])
    assert target.read_bytes() == after


def test_a_name_that_is_there_stays_unless_it_is_to_be_replaced(tmp_path: Path) -> None:
    path = image(tmp_path)
    write_regions(path, [FaceRegion(BOX, "Ada"), FaceRegion((40, 20, 10, 10))])
    moved = (BOX[0] + 1, BOX[1], BOX[2], BOX[3])
    write_regions(path, [FaceRegion(moved, "Grace"), FaceRegion((40, 20, 10, 10), "Eileen")])
    assert [region.name for region in read_regions(path)] == ["Ada", "Eileen"]
    write_regions(path, [FaceRegion(moved, "Grace")], replace=True)
    assert read_regions(path) == [FaceRegion(moved, "Grace")]


def test_a_sidecar_without_regions_or_with_an_empty_list_gets_them(tmp_path: Path) -> None:
    path = image(tmp_path)
    for regions in ("", listed().replace("<rdf:Bag></rdf:Bag>", "<rdf:Bag/>"), listed()):
        target = sidecar(path, regions)
        write_regions(path, [FaceRegion(BOX, "Ada")])
        assert read_regions(path) == [FaceRegion(BOX, "Ada")]
        assert b'xmp:Rating="4"' in target.read_bytes()


def test_other_forms_of_the_same_are_read(tmp_path: Path) -> None:
    path = image(tmp_path)
    long = (
        "<mwg-rs:Regions><rdf:Description><mwg-rs:RegionList><rdf:Seq><rdf:li rdf:parseType="
        '"Resource"><mwg-rs:Name>Ada</mwg-rs:Name><mwg-rs:Type>face</mwg-rs:Type><mwg-rs:Area '
        'rdf:parseType="Resource"><stArea:x>11</stArea:x><stArea:y>10</stArea:y><stArea:w>6'
        "</stArea:w><stArea:h>12</stArea:h><stArea:unit>pixel</stArea:unit></mwg-rs:Area>"
        "</rdf:li></rdf:Seq></mwg-rs:RegionList></rdf:Description></mwg-rs:Regions>"
    )
    sidecar(path, long)
    assert read_regions(path) == [FaceRegion(BOX, "Ada")]


def test_areas_that_cannot_be_used_are_passed_over(tmp_path: Path) -> None:
    path = image(tmp_path)
    bad = [area(0.5, 0.5, 0, 0.1), area(float("nan"), 0.5, 0.1, 0.1), area(0.5, 0.5, -1, 0.1)]
    sidecar(path, listed(*bad, area(0.5, 0.5, 0.5, 0.5)))
    assert [region.box for region in read_regions(path)] == [(16.0, 10.0, 32.0, 20.0)]


def test_regions_of_an_image_of_another_shape_are_refused(tmp_path: Path) -> None:
    path = image(tmp_path)
    sidecar(path, listed(area(0.5, 0.5, 0.1, 0.1), size=(100, 100)))
    with pytest.raises(FileFormatError, match="apply to an image of 100 × 100 pixels"):
        read_regions(path)
    with pytest.raises(FileFormatError, match="but this photo has 64 × 40"):
        write_regions(path, [FaceRegion(BOX, "Ada")])
    write_regions(path, [FaceRegion(BOX, "Ada")], replace=True)
    assert read_regions(path) == [FaceRegion(BOX, "Ada")]


def test_regions_of_a_reduced_copy_are_scaled(tmp_path: Path) -> None:
    path = image(tmp_path)
    sidecar(path, listed(area(0.5, 0.5, 0.5, 0.5), size=(WIDTH * 10, HEIGHT * 10)))
    assert [region.box for region in read_regions(path)] == [(16.0, 10.0, 32.0, 20.0)]


def test_areas_may_relate_to_the_upright_image_if_the_dimensions_say_so(tmp_path: Path) -> None:
    path = image(tmp_path, orientation=6)  # upright it is HEIGHT wide
    sidecar(path, listed(area(0.25, 0.5, 0.5, 0.5), size=(HEIGHT, WIDTH)))
    assert [region.box for region in read_regions(path)] == [(0.0, 16.0, 20.0, 32.0)]
    write_regions(path, [FaceRegion((30, 0, 8, 8), "Grace")])
    assert read_regions(path)[1] == FaceRegion((30, 0, 8, 8), "Grace")


def test_the_sidecar_is_the_one_that_other_programs_use(tmp_path: Path) -> None:
    path = image(tmp_path, name="a.jpg")
    assert sidecar_path(path) == tmp_path / "a.jpg.xmp"
    (tmp_path / "a.xmp").touch()
    assert sidecar_path(path) == tmp_path / "a.xmp"
    (tmp_path / "a.CR2").touch()  # then a.xmp is that of the raw file
    assert sidecar_path(path) == tmp_path / "a.jpg.xmp"
    (tmp_path / "a.CR2").unlink()
    (tmp_path / "a.jpg.xmp").touch()
    assert sidecar_path(path) == tmp_path / "a.jpg.xmp"


def test_without_regions_in_the_sidecar_those_in_the_image_are_read(tmp_path: Path) -> None:
    content = sidecar(tmp_path / "x", listed(area(0.5, 0.5, 0.5, 0.5))).read_bytes()
    for name in ("a.jpg", "a.webp"):
        path = tmp_path / name
        Image.new("RGB", (WIDTH, HEIGHT)).save(path, xmp=content)
        assert [region.name for region in read_regions(path)] == ["Ada"]
        sidecar(path, listed(area(0.5, 0.5, 0.5, 0.5, name="Grace")))
        assert [region.name for region in read_regions(path)] == ["Grace"]


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (
            b'<!DOCTYPE x [<!ENTITY a "aaaaaaaaaa"><!ENTITY b "&a;&a;&a;&a;">]><x>&b;</x>',
            "declares a document type",
        ),
        (
            b'<!DOCTYPE x [<!ENTITY f SYSTEM "file:///etc/passwd">]><x>&f;</x>',
            "declares a document type",
        ),
        pytest.param(
            b"<x>" + b"<y/>" * 200_001 + b"</x>",
            "more than 200,000 XML elements",
            marks=pytest.mark.check,
        ),
        (b"<x>" + b" " * 16_000_000 + b"</x>", "more than 16,000,000 bytes"),
        (b"<x>", "is not XML in UTF-8"),
        ("<x>é</x>".encode("latin-1"), "is not XML in UTF-8"),
        (b"<x/>", "has no rdf:RDF"),
        ("<x/>".encode("utf-16"), "is not XML in UTF-8"),
    ],
)
def test_what_is_no_xmp_is_refused_and_kept(tmp_path: Path, content: bytes, message: str) -> None:
    path = image(tmp_path)
    target = path.with_name(path.name + ".xmp")
    target.write_bytes(content)
    with pytest.raises(FileFormatError, match=message):
        write_regions(path, [FaceRegion(BOX, "Ada")])
    assert target.read_bytes() == content


def test_deep_nesting_does_not_exhaust_the_stack(tmp_path: Path) -> None:
    path = image(tmp_path)
    path.with_name(path.name + ".xmp").write_bytes(b"<x>" * 50_000 + b"</x>" * 50_000)
    assert read_regions(path) == []


def test_names_cannot_break_out_of_the_xml(tmp_path: Path) -> None:
    path = image(tmp_path)
    name = "</mwg-rs:Name>&<\"'>]]>"
    write_regions(path, [FaceRegion(BOX, name)])
    assert [region.name for region in read_regions(path)] == [name]
    with pytest.raises(InvalidArgumentError, match="control characters"):
        write_regions(path, [FaceRegion((40, 20, 10, 10), "a\x08b")])
    for odd in ("a\ufffeb", "a\uffffb", "a\udc80b"):  # which no XML document may hold
        with pytest.raises(InvalidArgumentError, match="cannot be written into XMP"):
            write_regions(path, [FaceRegion((40, 20, 10, 10), odd)])
    assert [region.name for region in read_regions(path)] == [name]


def test_boxes_are_cut_at_the_border_and_refused_outside(tmp_path: Path) -> None:
    path = image(tmp_path)
    write_regions(path, [FaceRegion((-4, -4, 14, 14), "Ada")])
    assert read_regions(path) == [FaceRegion((0, 0, 10, 10), "Ada")]
    with pytest.raises(InvalidArgumentError, match="outside of the photo"):
        write_regions(path, [FaceRegion((100, 0, 10, 10), "Grace")])
    with pytest.raises(InvalidArgumentError, match="outside of the photo"):
        write_regions(path, [FaceRegion((50, math.nan, 10, 10), "Grace")])


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="needs a pipe")
def test_a_pipe_or_a_device_is_not_replaced_by_a_sidecar(tmp_path: Path) -> None:
    path = image(tmp_path)
    pipe = path.with_name(path.name + ".xmp")
    os.mkfifo(pipe)
    with pytest.raises(FileFormatError, match="is not a regular file"):
        write_regions(path, [FaceRegion(BOX, "Ada")])
    assert pipe.is_fifo()


def test_what_is_no_image_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(ImageError, match="no such file"):
        read_regions(tmp_path / "missing.jpg")
    (tmp_path / "text.jpg").write_text("no image")
    with pytest.raises(ImageError, match="not an image"):
        read_regions(tmp_path / "text.jpg")


def test_embedding_needs_exiftool(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(FacekitError, match="ExifTool, which is not installed"):
        write_regions(image(tmp_path), [FaceRegion(BOX, "Ada")], embed=True)


def test_tagged_people_are_those_with_names(tmp_path: Path) -> None:
    path = image(tmp_path)
    write_regions(path, [FaceRegion(BOX, "Ada"), FaceRegion((40, 20, 10, 10))])
    (tmp_path / "in").mkdir()
    stranger = image(tmp_path / "in", name="b.png")
    sidecar(stranger, listed(area(0.5, 0.5, 0.5, 0.5, name="Unknown"), area(0.2, 0.2, 0.1, 0.1)))
    broken = image(tmp_path / "in", name="c.png")
    broken.with_name("c.png.xmp").write_text("<")
    found = tagged_people(tmp_path)
    assert [(one.person, Path(one.name).name, one.source is None) for one in found] == [
        ("Ada", "party.png", False),
        ("", "b.png", True),
        ("Ada", "b.png", False),
        ("", "c.png", True),
    ]
    assert found[0].box == BOX
    assert found[3].unreadable


def test_names_in_the_image_are_kept_in_a_sidecar(tmp_path: Path) -> None:
    content = sidecar(
        tmp_path / "x",
        listed(area(0.5, 0.5, 0.5, 0.5, name="Ada"), area(0.1, 0.1, 0.1, 0.1, name="Unknown")),
    ).read_bytes()
    path = tmp_path / "image.jpg"
    Image.new("RGB", (WIDTH, HEIGHT)).save(path, xmp=content)
    (own,) = (region for region in read_regions(path) if region.name == "Ada")
    other = FaceRegion((0.0, 0.0, WIDTH / 8, HEIGHT / 8), "Grace")
    write_regions(path, [FaceRegion(own.box, "Bob"), other])
    assert sorted(str(region.name) for region in read_regions(path)) == ["Ada", "Grace"]
    write_regions(path, [FaceRegion(own.box, "Bob")], replace=True)
    assert [region.name for region in read_regions(path)] == ["Bob"]
