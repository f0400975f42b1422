"""Face regions in XMP, as photo managers use them, in sidecars and in images."""

from __future__ import annotations

import codecs
import math
import os
import re
import shutil
import subprocess
import tempfile
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeAlias
from xml.parsers import expat
from xml.sax.saxutils import escape

from facekit.errors import FacekitError, FileFormatError, ImageError, InvalidArgumentError
from facekit.faces import SAME_FACE, box_overlap
from facekit.io.decoding import StoredImage, inspect_file
from facekit.io.files import is_file, real_path, replace_atomically
from facekit.io.folders import list_images
from facekit.io.images import image_suffixes
from facekit.io.people import PersonImage
from facekit.utils.terminal import printable
from facekit.utils.validation import identity

_RDF = "http://www.w3.org/1999/02/22-rdf-syntax-ns#"
_REGIONS = "http://www.metadataworkinggroup.com/schemas/regions/"
_AREA = "http://ns.adobe.com/xmp/sType/Area#"
_DIMENSIONS = "http://ns.adobe.com/xap/1.0/sType/Dimensions#"

_MOST_BYTES, _MOST_ELEMENTS = 16_000_000, 200_000
_MOST_SECONDS = 60
_UTF16 = (codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)
_NOT_XML = re.compile("[\ud800-\udfff\ufffe\uffff]")

# A camera's raw file may share its name and the sidecar "photo.xmp" with a JPEG.
_RAW_SUFFIXES = frozenset(
    {".arw", ".cr2", ".cr3", ".dng", ".nef", ".orf", ".pef", ".raf", ".rw2", ".srw"}
)

_EMPTY = (
    b'<?xpacket begin="\xef\xbb\xbf" id="W5M0MpCehiHzreSzNTczkc9d"?>\n'
    b'<x:xmpmeta xmlns:x="adobe:ns:meta/">\n'
    b' <rdf:RDF xmlns:rdf="http://www.w3.org/1999/02/22-rdf-syntax-ns#">\n'
    b" </rdf:RDF>\n"
    b"</x:xmpmeta>\n"
    b'<?xpacket end="w"?>\n'
)

Box: TypeAlias = tuple[float, float, float, float]

# Maps a point of the upright unit-size image to an image stored with this orientation.
_STORED: dict[int, Callable[[float, float], tuple[float, float]]] = {
    1: lambda x, y: (x, y),
    2: lambda x, y: (1 - x, y),
    3: lambda x, y: (1 - x, 1 - y),
    4: lambda x, y: (x, 1 - y),
    5: lambda x, y: (y, x),
    6: lambda x, y: (y, 1 - x),
    7: lambda x, y: (1 - y, 1 - x),
    8: lambda x, y: (1 - y, x),
}
_BACK = {6: 8, 8: 6}


@dataclass(frozen=True)
class FaceRegion:
    """A face marked in an image's XMP data.

    Args:
        box: ``(x, y, width, height)`` in pixels of the upright image, as in :class:`facekit.Face`.
        name: Who it is, or ``None`` if the region has no name.

    Example:
        >>> from facekit.io.xmp import FaceRegion
        >>> FaceRegion((10.0, 12.0, 80.0, 100.0), "Ada").name
        'Ada'
    """

    box: Box
    name: str | None = None


def sidecar_path(image: str | os.PathLike[str]) -> Path:
    """Returns the path of an image's XMP sidecar, which may not exist yet.

    This is ``photo.jpg.xmp``, as in digiKam, darktable and Immich, unless only ``photo.xmp``
    exists, as in Lightroom, and ``photo.jpg`` is the only image of that name: beside a raw file,
    ``photo.xmp`` belongs to the raw file.
    """
    path = Path(image)
    long, short = path.with_name(path.name + ".xmp"), path.with_suffix(".xmp")
    if is_file(long) or not is_file(short):
        return long
    images = image_suffixes() | _RAW_SUFFIXES
    others = (
        other
        for other in path.parent.iterdir()
        if other.stem == path.stem and other != path and other.suffix.lower() in images
    )
    return long if any(others) else short


def read_regions(image: str | os.PathLike[str]) -> list[FaceRegion]:
    """Reads the face regions of an image, from its sidecar or else from the image itself.

    Args:
        image: The image.

    Returns:
        The marked faces, with and without names; an empty list if there are none.

    Raises:
        ImageError: If the image cannot be read.
        FileFormatError: If the XMP data cannot be read, or belong to an image of another shape.

    Example:
        >>> import tempfile
        >>> from pathlib import Path
        >>> from PIL import Image
        >>> from facekit.io.xmp import FaceRegion, read_regions, write_regions
        >>> image = Path(tempfile.mkdtemp()) / "party.jpg"
        >>> Image.new("RGB", (400, 300)).save(image)
        >>> sidecar = write_regions(image, [FaceRegion((20, 30, 40, 60), "Ada")])
        >>> sidecar.name, read_regions(image)
        ('party.jpg.xmp', [FaceRegion(box=(20.0, 30.0, 40.0, 60.0), name='Ada')])

    References:
        Metadata Working Group, "Guidelines for Handling Image Metadata", version 2.0, 2010,
        section 5.9.
    """
    path = Path(image)
    return _shown_regions(path, inspect_file(path), _content(sidecar_path(path)))


def write_regions(
    image: str | os.PathLike[str],
    regions: Iterable[FaceRegion],
    *,
    replace: bool = False,
    embed: bool = False,
) -> Path:
    """Writes face regions into the XMP sidecar of an image; the image is not changed.

    Everything else in an existing sidecar is kept, byte for byte. Existing regions with a name are
    kept as well, and override those of ``regions`` for the same face, since the name may be a
    user's correction; if the sidecar has no regions, those in the image are copied into it.
    Existing regions without a name are replaced.

    Args:
        image: The image.
        regions: The faces, in pixels of the upright image.
        replace: Whether to replace all existing face regions.
        embed: Whether to let ExifTool write the regions into the image instead; it keeps the
            original as ``photo.jpg_original``.

    Returns:
        The file with the regions.

    Raises:
        ImageError: If the image cannot be read.
        FileFormatError: If existing XMP data cannot be read, belong to an image of another shape,
            or cannot be written.
        FacekitError: If ExifTool is needed but not installed, or fails.

    Example:
        >>> import tempfile
        >>> from pathlib import Path
        >>> from PIL import Image
        >>> from facekit.io.xmp import FaceRegion, read_regions, write_regions
        >>> image = Path(tempfile.mkdtemp()) / "party.jpg"
        >>> Image.new("RGB", (400, 300)).save(image)
        >>> for name in (None, "Ada", "Bob"):
        ...     sidecar = write_regions(image, [FaceRegion((20, 30, 40, 60), name)])
        >>> [region.name for region in read_regions(image)]  # a name is kept
        ['Ada']
    """
    path = Path(image)
    stored = inspect_file(path)
    target = path if embed else sidecar_path(path)
    content = stored.xmp if embed else _content(target)
    if not (embed or replace):
        # A sidecar with regions hides those in the image: names there move into it.
        with suppress(FileFormatError):  # of the image; an error of the sidecar is raised below
            named = [face for face in _shown_regions(path, stored, content) if _is_named(face)]
            new = list(regions)
            regions = [*named, *(one for one in new if not any(_same(one, own) for own in named))]
    merged = _Regions(content or _EMPTY, stored, str(target)).merged(regions, replace=replace)
    if embed:
        _embed(path, merged)
    elif merged != content:
        replace_atomically(real_path(target), merged)
    return target


def tagged_people(images: str | os.PathLike[str] | Iterable[os.PathLike[str]]) -> list[PersonImage]:
    """Lists the named faces of images for enrollment.

    Args:
        images: A folder, searched recursively, or paths of images.

    Returns:
        One entry for each named face region, for :meth:`facekit.FaceRecognizer.fit` and
        :meth:`facekit.FaceRecognizer.enroll_people`, and one with the reason for each image whose
        XMP data cannot be used.

    Raises:
        ImageError: If the folder is missing or holds no images.

    Example:
        >>> import tempfile
        >>> from pathlib import Path
        >>> from PIL import Image
        >>> from facekit.io.xmp import FaceRegion, tagged_people, write_regions
        >>> image = Path(tempfile.mkdtemp()) / "party.jpg"
        >>> Image.new("RGB", (400, 300)).save(image)
        >>> sidecar = write_regions(image, [FaceRegion((20, 30, 40, 60), "Ada")])
        >>> [(one.person, one.box) for one in tagged_people(image.parent)]
        [('Ada', (20.0, 30.0, 40.0, 60.0))]
    """
    if isinstance(images, str | os.PathLike):
        images = list_images(images, recursive=True).checked().images
    return [person for image in images for person in _tagged(Path(image))]


def _tagged(image: Path) -> Iterator[PersonImage]:
    try:
        regions = read_regions(image)
    except (FileFormatError, ImageError) as error:
        yield PersonImage("", str(image), None, str(error), unreadable=True)
        return
    for region in regions:
        if region.name is not None:
            try:
                yield PersonImage(identity(region.name), str(image), image, box=region.box)
            except InvalidArgumentError as error:  # such as "unknown"
                yield PersonImage("", str(image), None, str(error))


# Reading


@dataclass
class _Node:
    """An element with its byte range, and the start of its end tag."""

    tag: str
    attributes: dict[str, str]
    start: int
    text: str = ""
    children: list[_Node] = field(default_factory=list)
    close: int = 0
    end: int = 0

    def walk(self) -> Iterator[_Node]:
        waiting = [self]
        while waiting:
            node = waiting.pop()
            yield node
            waiting += reversed(node.children)

    def fields(self) -> dict[str, Any]:
        """The fields of an RDF structure: attributes, or elements, or those of a description."""
        found: dict[str, Any] = dict(self.attributes)
        for child in self.children:
            if child.tag == f"{_RDF} Description":
                found |= child.fields()
            else:
                found[child.tag] = child
        return found


def _parsed(content: bytes, name: str) -> _Node:
    """Parses XML; refuses document types, and with them all entities, before they take effect."""
    if len(content) > _MOST_BYTES:
        raise FileFormatError(f"{name}: has more than {_MOST_BYTES:,} bytes of XMP data")
    if content.startswith(_UTF16):  # which expat reads in spite of the encoding it is told
        raise FileFormatError(f"{name}: is not XML in UTF-8")
    root = _Node("", {}, 0)
    open_nodes = [root]
    count = 0
    parser = expat.ParserCreate("UTF-8", namespace_separator=" ")
    parser.buffer_text = True

    def start(tag: str, attributes: dict[str, str]) -> None:
        nonlocal count
        count += 1
        if count > _MOST_ELEMENTS:
            raise FileFormatError(f"{name}: has more than {_MOST_ELEMENTS:,} XML elements")
        node = _Node(tag, attributes, parser.CurrentByteIndex)
        open_nodes[-1].children.append(node)
        open_nodes.append(node)

    def end(_: str) -> None:
        node, at = open_nodes.pop(), parser.CurrentByteIndex
        empty = not node.children and not node.text and content[at - 2 : at] == b"/>"
        node.close = at
        node.end = at if empty else content.index(b">", at) + 1

    def text(data: str) -> None:
        open_nodes[-1].text += data

    def doctype(*_: Any) -> None:
        raise FileFormatError(f"{name}: declares a document type, which is not allowed in XMP")

    parser.StartElementHandler, parser.EndElementHandler = start, end
    parser.CharacterDataHandler, parser.StartDoctypeDeclHandler = text, doctype
    try:
        parser.Parse(content, True)
    except expat.ExpatError as error:
        raise FileFormatError(f"{name}: is not XML in UTF-8 ({error})") from error
    return root


class _Regions:
    """The face regions of one XMP document, and adding others to it."""

    def __init__(self, content: bytes, stored: StoredImage, name: str) -> None:
        self._content, self._stored, self._name = content, stored, name
        nodes = list(_parsed(content, name).walk())
        self._rdf = next((node for node in nodes if node.tag == f"{_RDF} RDF"), None)
        self._property = next((n for n in nodes if n.tag == f"{_REGIONS} Regions"), None)
        fields = {} if self._property is None else self._property.fields()
        self._applied = _size_of(fields.get(f"{_REGIONS} AppliedToDimensions"))
        listed = fields.get(f"{_REGIONS} RegionList")
        bags = [
            child
            for child in (listed.children if isinstance(listed, _Node) else ())
            if child.tag in (f"{_RDF} Bag", f"{_RDF} Seq")
        ]
        self._list = bags[0] if bags else None
        self._orientation = self._orientation_meant()
        self._nodes = [
            (region, node)
            for node in (self._list.children if self._list else ())
            if (region := self._region(node)) is not None
        ]
        self.faces = [region for region, _ in self._nodes]

    def check(self) -> None:
        """Refuses regions of an image of another shape, whose positions in this one are unknown."""
        if self._orientation is None:
            width, height = self._applied or (0, 0)
            raise FileFormatError(
                f"{self._name}: its regions apply to an image of {width:g} × {height:g} pixels, "
                f"but this photo has {self._stored.width} × {self._stored.height}"
            )

    def merged(self, regions: Iterable[FaceRegion], *, replace: bool) -> bytes:
        """Returns the document with the regions added, everything else unchanged."""
        start_over = replace and self._orientation is None
        if self.faces and not start_over:
            self.check()
        kept = [] if replace else [face for face in self.faces if face.name is not None]
        new = [one for one in regions if not any(_same(one, face) for face in kept)]
        gone = [
            node
            for face, node in self._nodes
            if replace or (face.name is None and any(_same(one, face) for one in new))
        ]
        if not new and not gone:
            return self._content
        into = None if start_over else self._list
        if into is not None and into.end > into.close:
            frame = self._orientation or 1
            items = "".join(self._item(region, frame) for region in new)
            return self._edited(gone, into.close, items)
        # There is no list to add to: the whole property is rewritten.
        items = "".join(self._item(region, self._stored.orientation) for region in new)
        rdf = self._rdf
        if rdf is None or rdf.end == rdf.close:
            raise FileFormatError(f"{self._name}: is not an XMP document: it has no rdf:RDF")
        gone = [] if self._property is None else [self._property]
        return self._edited(gone, rdf.close, self._description(items))

    def _orientation_meant(self) -> int | None:
        """Returns the orientation of the areas' reference image; ``None`` if it is another one."""
        # By the guidelines, areas refer to the image as it is stored. Some programs refer to the
        # upright image, and state its dimensions.
        stored = (self._stored.width, self._stored.height)
        if self._applied is None or _same_shape(self._applied, stored):
            return self._stored.orientation
        return 1 if _same_shape(self._applied, self._upright) else None

    @property
    def _upright(self) -> tuple[int, int]:
        width, height = self._stored.width, self._stored.height
        return (width, height) if self._stored.orientation < 5 else (height, width)

    def _region(self, node: _Node) -> FaceRegion | None:
        fields = node.fields()
        area = fields.get(f"{_REGIONS} Area")
        if _string(fields.get(f"{_REGIONS} Type")).lower() != "face" or not isinstance(area, _Node):
            return None
        values = area.fields()
        x, y, width, height = (_number(values.get(f"{_AREA} {key}")) for key in "xywh")
        if not (math.isfinite(x + y) and width > 0 and height > 0):
            return None
        if _string(values.get(f"{_AREA} unit")).lower() == "pixel":
            across, down = self._applied or (self._stored.width, self._stored.height)
            x, y, width, height = x / across, y / down, width / across, height / down
        orientation = self._orientation or 1
        x, y = _STORED[_BACK.get(orientation, orientation)](x, y)
        if orientation > 4:
            width, height = height, width
        across, down = self._upright
        box = ((x - width / 2) * across, (y - height / 2) * down, width * across, height * down)
        rounded = tuple(round(value, 4) for value in box)
        name = _string(fields.get(f"{_REGIONS} Name")).strip()
        return FaceRegion((rounded[0], rounded[1], rounded[2], rounded[3]), name or None)

    # Writing

    def _item(self, region: FaceRegion, orientation: int) -> str:
        left, top, width, height = region.box
        across, down = self._upright
        right, bottom = min(left + width, across), min(top + height, down)
        left, top = max(left, 0.0), max(top, 0.0)
        if not (right > left and bottom > top):  # nor if one is NaN
            raise InvalidArgumentError(
                f"the region {region.box} lies outside of the photo, {across} × {down} pixels"
            )
        named = None if region.name is None else identity(region.name)
        if named is not None and (odd := _NOT_XML.search(named)):
            raise InvalidArgumentError(
                f"the name {named!a} cannot be written into XMP: XML has no {odd[0]!a}"
            )
        x, y = _STORED[orientation]((left + right) / 2 / across, (top + bottom) / 2 / down)
        w, h = (right - left) / across, (bottom - top) / down
        if orientation > 4:
            w, h = h, w
        name = "" if named is None else f"\n  <mwg-rs:Name>{escape(named)}</mwg-rs:Name>"
        areas = "".join(
            f"\n   <stArea:{key}>{value:.9f}</stArea:{key}>"
            for key, value in zip("xywh", (x, y, w, h), strict=True)
        )
        return (
            f' <rdf:li xmlns:rdf="{_RDF}" xmlns:mwg-rs="{_REGIONS}" xmlns:stArea="{_AREA}" '
            f'rdf:parseType="Resource">{name}\n  <mwg-rs:Type>Face</mwg-rs:Type>\n'
            f'  <mwg-rs:Area rdf:parseType="Resource">{areas}\n'
            "   <stArea:unit>normalized</stArea:unit>\n  </mwg-rs:Area>\n </rdf:li>\n"
        )

    def _description(self, items: str) -> str:
        described = self._rdf.children if self._rdf else []
        about = described[0].attributes.get(f"{_RDF} about", "") if described else ""
        quoted = escape(about, {'"': "&quot;"})
        return (
            f'<rdf:Description xmlns:rdf="{_RDF}" xmlns:mwg-rs="{_REGIONS}" '
            f'xmlns:stDim="{_DIMENSIONS}" rdf:about="{quoted}">\n'
            '<mwg-rs:Regions rdf:parseType="Resource">\n'
            ' <mwg-rs:AppliedToDimensions rdf:parseType="Resource">'
            f"<stDim:w>{self._stored.width}</stDim:w><stDim:h>{self._stored.height}</stDim:h>"
            "<stDim:unit>pixel</stDim:unit></mwg-rs:AppliedToDimensions>\n"
            f" <mwg-rs:RegionList><rdf:Bag>\n{items} </rdf:Bag></mwg-rs:RegionList>\n"
            "</mwg-rs:Regions>\n</rdf:Description>\n"
        )

    def _edited(self, gone: Sequence[_Node], place: int, new: str) -> bytes:
        edits = [(node.start, node.end, b"") for node in gone] + [(place, place, new.encode())]
        content = self._content
        for start, end, put in sorted(edits, reverse=True):
            content = content[:start] + put + content[end:]
        return content


def _content(path: Path) -> bytes | None:
    """Returns the content of a sidecar; ``None`` if it does not exist."""
    if not is_file(path):
        return None
    try:
        with path.open("rb") as stream:
            return stream.read(_MOST_BYTES + 1)
    except OSError as error:
        raise FileFormatError(f"{path}: cannot be read ({error})") from error


def _shown_regions(image: Path, stored: StoredImage, sidecar: bytes | None) -> list[FaceRegion]:
    """Returns the regions of the sidecar or, if it has none, those in the image."""
    for name, content in ((str(sidecar_path(image)), sidecar), (str(image), stored.xmp)):
        if content is not None and (found := _Regions(content, stored, name)).faces:
            found.check()
            return found.faces
    return []


def _is_named(region: FaceRegion) -> bool:
    try:
        return region.name is not None and bool(identity(region.name))
    except InvalidArgumentError:  # such as "Unknown"
        return False


def _size_of(node: Any) -> tuple[float, float] | None:
    fields = node.fields() if isinstance(node, _Node) else {}
    width, height = (_number(fields.get(f"{_DIMENSIONS} {side}")) for side in "wh")
    return (width, height) if width > 0 and height > 0 else None


def _same(first: FaceRegion, second: FaceRegion) -> bool:
    return box_overlap(first.box, second.box) >= SAME_FACE


def _same_shape(first: tuple[float, float], second: tuple[float, float]) -> bool:
    # The sides of reduced copies are rounded.
    return abs(first[0] * second[1] / (first[1] * second[0]) - 1) < 0.02


def _string(value: Any) -> str:
    return value.text if isinstance(value, _Node) else value or ""


def _number(value: Any) -> float:
    """Returns a number; NaN where there is none, or too large a one."""
    try:
        number = float(_string(value))
    except ValueError:
        return math.nan
    return number if abs(number) < 1e9 else math.nan


def _embed(image: Path, document: bytes) -> None:
    """Lets ExifTool copy the regions of an XMP document into an image."""
    tool = shutil.which("exiftool")
    if tool is None:
        raise FacekitError(
            "regions are written into photos by ExifTool, which is not installed; see "
            "https://exiftool.org, or leave them in the sidecar"
        )
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "regions.xmp"
        file.write_bytes(document)
        command = [tool, "-q", "-charset", "filename=utf8", "-tagsfromfile", str(file)]
        command += ["-XMP-mwg-rs:RegionInfo", str(real_path(image))]
        done = subprocess.run(
            command, capture_output=True, text=True, timeout=_MOST_SECONDS, check=False
        )
    if done.returncode:
        raise ImageError(f"{image}: ExifTool failed ({printable(done.stderr.strip(), limit=300)})")
