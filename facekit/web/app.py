"""The web pages, and a JSON interface for programs."""

from __future__ import annotations

import asyncio
import itertools
import math
import sys
from base64 import b64encode
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field
from hashlib import sha256
from pathlib import Path
from typing import Any, TypeAlias, TypeVar

import numpy as np
from jinja2 import Environment, PackageLoader
from starlette.applications import Starlette
from starlette.concurrency import run_in_threadpool
from starlette.datastructures import FormData
from starlette.exceptions import HTTPException
from starlette.formparsers import MultiPartException, MultiPartParser
from starlette.requests import Request
from starlette.responses import (
    FileResponse,
    HTMLResponse,
    JSONResponse,
    RedirectResponse,
    Response,
)
from starlette.routing import Route

from facekit.errors import FacekitError, FileFormatError
from facekit.gallery.corrections import Correction
from facekit.gallery.records import EnrolledImage, FaceSource
from facekit.identification.answers import Explanation
from facekit.identification.strategies import measure_of
from facekit.recognizer import FaceRecognizer
from facekit.suggestions import Suggestion, suggest
from facekit.utils.validation import identity
from facekit.web.album import Album
from facekit.web.guard import COOKIE, Access, Guard
from facekit.web.openapi import DESCRIPTION
from facekit.web.thumbnails import Thumbnails

Answer: TypeAlias = Callable[[Request], Awaitable[Response]]
Item = TypeVar("Item")

_PAGE, _FACES_SHOWN, _QUESTIONS = 20, 12, 40
# More faces of one person make recognition slower but hardly better; the rest is accepted by name.
_ENROLLED_AT_ONCE = 50
# The most typical face of each of this many largest groups is compared with everyone enrolled.
_COMPARED = 2000
# Seconds that a request waits for the groups, and the answer if they are not ready by then.
_PATIENCE, _BUSY = 1.0, 503
# The answer to a form of a page that no longer shows what is the case.
_STALE = 409
_STYLE = Path(__file__).parent / "templates" / "style.css"
# The sort orders of suggestions.
_RANKS: dict[str, Callable[[Suggestion], float]] = {
    "likely": lambda asked: asked.distance,
    "doubt": lambda asked: -asked.doubt,
}


class _InMemory(MultiPartParser):
    """Reads a form; its files never touch the disk, and the guard has limited their size."""

    spool_max_size = sys.maxsize


@dataclass
class _Step:
    """The changes of one form, for undoing them."""

    words: str
    corrections: list[int] = field(default_factory=list)
    person: str = ""
    sources: list[FaceSource] = field(default_factory=list)
    lost: list[Correction] = field(default_factory=list)  # to be restored
    number: int = field(default_factory=itertools.count(1).__next__)


def create_app(
    recognizer: FaceRecognizer,
    album: Album | None = None,
    *,
    access: Access,
) -> Guard:
    """Creates the ASGI application.

    Args:
        recognizer: Names the people; changes go to its gallery, in a file or in memory.
        album: The faces to review; none by default.
        access: Who has access.

    Returns:
        The application, which refuses all requests without access.

    Example:
        >>> from facekit import FaceRecognizer
        >>> from facekit.web import Access, create_app
        >>> app = create_app(FaceRecognizer(), access=Access(hosts=("127.0.0.1:8000",)))
    """
    pages = _Pages(recognizer, album or Album.open(None, recognizer), access)
    return Guard(Starlette(routes=pages.routes(), exception_handlers=pages.handlers()), access)


class _Pages:
    """The responses; each form ends in a redirect to a page."""

    def __init__(self, recognizer: FaceRecognizer, album: Album, access: Access) -> None:
        self._recognizer, self._album, self._access = recognizer, album, access
        self._gallery = recognizer.gallery
        self._thumbnails = Thumbnails(
            {"max_pixels": recognizer.max_pixels, "truncated": recognizer.truncated}
        )
        self._steps: list[_Step] = []
        self._changing = asyncio.Lock()
        self._templates = Environment(loader=PackageLoader("facekit.web"), autoescape=True)
        self._templates.globals.update(key=_key, group_key=_group_key)
        self._templates.globals["source"] = lambda face: Path(album.sources[face].source).name

    def routes(self) -> list[Route]:
        """Returns the routes."""
        pages: dict[str, Answer] = {
            "/": self.groups,
            "/group/{face:int}": self.group,
            "/people": self.people,
            "/person": self.person,
            "/suggestions": self.suggestions,
            "/corrections": self.corrections,
            "/refused": self.refused,
            "/calibration": self.calibration,
            "/face/{face:int}": self.face,
            "/image/{number:int}": self.image,
            "/style.css": self.style,
            "/api": self.api,
            "/api/openapi.json": self.openapi,
            "/api/people": self.api_people,
        }
        forms = {
            "/name": self._name,
            "/merge": self._merge,
            "/split": self._split,
            "/discard": self._discard,
            "/answer": self._answer,
            "/remove": self._remove,
            "/erase": self._erase,
            "/undo": self._undo,
            "/retract": self._retract,
        }
        return [
            *(Route(path, answer, methods=["GET"]) for path, answer in pages.items()),
            *(Route(path, self._form(do), methods=["POST"]) for path, do in forms.items()),
            Route("/login", self.login, methods=["GET", "POST"]),
            Route("/try", self.attempt, methods=["GET", "POST"]),
            Route("/api/recognize", self.api_recognize, methods=["POST"]),
            Route("/api/enroll", self.api_enroll, methods=["POST"]),
        ]

    def handlers(self) -> dict[Any, Any]:
        """Returns the error handlers: facekit's errors with their messages, others without."""

        async def say(request: Request, error: Exception) -> Response:
            # A storage failure is not the client's fault.
            status = 500 if isinstance(error, FileFormatError) else 400
            status = error.status_code if isinstance(error, HTTPException) else status
            words = error.detail if isinstance(error, HTTPException) else str(error)
            if request.url.path.startswith("/api/"):
                return JSONResponse({"error": words}, status)
            page = self._page("message.html", status, words=words, waiting=status == _BUSY)
            page.headers.update(getattr(error, "headers", None) or {})
            return page

        return {FacekitError: say, HTTPException: say}

    def _page(self, template: str, status: int = 200, **values: Any) -> HTMLResponse:
        last = self._steps[-1] if self._steps else None
        text = self._templates.get_template(template).render(undo=last, **values)
        return HTMLResponse(text, status)

    # Access.

    async def login(self, request: Request) -> Response:
        """Opens a session for a client with the key."""
        given = request.query_params.get("token", "")
        if request.method == "POST":
            given = str((await request.form()).get("token", ""))
        if not given and request.method == "GET":
            return self._page("login.html")
        if not self._access.opens(given):
            await asyncio.sleep(1.0)  # a guess costs time
            raise HTTPException(401, "that is not the key")
        answer = RedirectResponse("/", 303)
        answer.set_cookie(COOKIE, self._access.session, httponly=True, samesite="strict")
        return answer

    async def style(self, _: Request) -> Response:
        """Returns the style sheet."""
        headers = {"cache-control": "max-age=3600"}
        return FileResponse(_STYLE, headers=headers, media_type="text/css")

    # Pages.

    async def groups(self, request: Request) -> Response:
        """Shows the groups of unknown faces, the largest first."""
        every = await self._groups()
        shown, pages = _paged(request, every, _PAGE)
        guesses = await run_in_threadpool(self._guesses, [group[0] for group in shown])
        return self._page(
            "groups.html",
            groups=[(group, group[:_FACES_SHOWN], guesses.get(group[0])) for group in shown],
            total=len(every),
            faces=sum(map(len, every)),
            people=list(self._gallery.people),
            **pages,
        )

    async def group(self, request: Request) -> Response:
        """Shows all faces of a group, to split it."""
        group = await self._group_of(request.path_params["face"])
        shown, pages = _paged(request, group)
        people = list(self._gallery.people)
        return self._page("group.html", group=group, shown=shown, people=people, **pages)

    async def people(self, _: Request) -> Response:
        """Lists who is enrolled."""
        return self._page("people.html", people=self._gallery.people)

    async def person(self, request: Request) -> Response:
        """Shows the images of a person, those that stand out first."""
        name = request.query_params.get("name", "")
        images = self._gallery.images(name)
        threshold = self._recognizer.verification_threshold
        odd = {
            outlier.image.id: outlier
            for outlier in await run_in_threadpool(self._gallery.outliers, threshold)
            if outlier.image.person == images[0].person
        }
        images.sort(key=lambda image: (image.id not in odd, image.id))
        shown, pages = _paged(request, images)
        name, total = images[0].person, len(images)
        return self._page("person.html", name=name, total=total, images=shown, odd=odd, **pages)

    async def suggestions(self, request: Request) -> Response:
        """Asks about the faces that are most likely enrolled people first, or the most doubtful."""
        groups = await self._groups()
        typical = {group[0]: group for group in groups[:_COMPARED]}
        guesses = await run_in_threadpool(self._guesses, list(typical))
        order = _order(request.query_params.get("order"))
        ranked = sorted(guesses.items(), key=lambda item: (_RANKS[order](item[1]), item[0]))
        asked = [(typical[face], guess) for face, guess in ranked]
        likeness = {
            one.person: self._gallery.images(one.person)[0] for _, one in asked[:_QUESTIONS]
        }
        return self._page(
            "suggestions.html", asked=asked[:_QUESTIONS], likeness=likeness, order=order
        )

    async def corrections(self, request: Request) -> Response:
        """Lists corrections, including those from commands and programs, the latest first."""
        every = self._gallery.review.corrections[::-1]
        shown, pages = _paged(request, every)
        return self._page("corrections.html", corrections=shown, total=len(every), **pages)

    async def refused(self, request: Request) -> Response:
        """Shows the faces that are too poor, with the reasons."""
        poor = [(place, why) for place, why in enumerate(self._album.problems) if why]
        shown, pages = _paged(request, poor)
        return self._page("refused.html", poor=shown, total=len(poor), **pages)

    async def calibration(self, _: Request) -> Response:
        """Shows the threshold, and how often a stranger gets a name at others."""
        found = await run_in_threadpool(lambda: self._recognizer.calibration)
        table = self._recognizer.embedder.record.distances
        curve = []
        if table is not None:
            distances = np.linspace(0.0, 2.0, 101)
            images = max(1, round(len(self._gallery) / len(self._gallery.people)))
            measure = measure_of(self._recognizer.classifier.strategy)
            rates = table.false_match_rate(measure, images, distances - found.shift)
            strangers = -np.expm1(
                len(self._gallery.people) * np.log1p(-np.minimum(rates, 0.999999))
            )
            curve = [
                (round(300 * at, 1), round(-50 * math.log10(max(rate, 1e-5)), 1))
                for at, rate in zip(distances.tolist(), strangers.tolist(), strict=True)
            ]
        return self._page("calibration.html", found=found, curve=curve, people=self._gallery.people)

    async def attempt(self, request: Request) -> Response:
        """Names the people in one image, and explains why."""
        if request.method == "GET":
            return self._page("try.html", answers=None)
        try:
            form = await _InMemory(request.headers, request.stream()).parse()
        except (KeyError, MultiPartException) as error:
            raise HTTPException(400, "the form cannot be read; send it again") from error
        upload = form.get("image")
        if upload is None or isinstance(upload, str):
            raise HTTPException(400, "choose a photo first")
        data = await upload.read()

        def explain() -> list[tuple[Explanation, str]]:
            found = self._recognizer.explain(data)
            # The image is not stored, so its faces are embedded in the page.
            faces = self._thumbnails.cut_out(data, [why.box for why in found])
            return list(zip(found, (b64encode(face).decode() for face in faces), strict=True))

        return self._page("try.html", answers=await run_in_threadpool(explain))

    async def face(self, request: Request) -> Response:
        """Returns a face of the album."""
        place = request.path_params["face"]
        if place >= len(self._album.sources):
            raise HTTPException(404, "that face does not exist")
        return await self._cut(self._album.sources[place])

    async def image(self, request: Request) -> Response:
        """Returns the face of an enrolled image."""
        return await self._cut(self._gallery.image(request.path_params["number"]))

    async def _cut(self, source: FaceSource) -> Response:
        plain = FaceSource(source.source, source.sha256, source.box)
        data = await run_in_threadpool(self._thumbnails.cut, plain)
        headers = {"cache-control": "private, max-age=600"}
        return Response(data, media_type="image/jpeg", headers=headers)

    def _guesses(self, faces: list[int]) -> dict[int, Suggestion]:
        if not len(self._gallery) or not faces:
            return {}
        album = self._album
        sources = [album.sources[face] for face in faces]
        found = suggest(self._recognizer, sources, album.vectors[faces])
        return {faces[one.place]: one for one in found}

    async def _groups(self) -> list[list[int]]:
        if not await run_in_threadpool(self._album.is_grouped, _PATIENCE):
            words = (
                f"{len(self._album.sources):,} faces are being grouped; this page waits for them"
            )
            raise HTTPException(_BUSY, words, {"refresh": "5"})
        return await run_in_threadpool(self._album.groups, self._gallery)

    async def _group_of(self, face: int) -> list[int]:
        for group in await self._groups():
            if face in group:
                return group
        raise HTTPException(404, "that face is no longer in a group")

    async def _shown(self, key: str) -> list[int]:
        """Returns the group that a form shows, unless it has changed since."""
        first = key.partition("-")[0]
        face = int(first) if first.isdecimal() and len(first) < 16 else -1
        for group in await self._groups():
            if face in group and _group_key(group) == key:
                return group
        raise HTTPException(
            _STALE,
            "a group has changed since the page was opened, so nothing was done; open it again",
        )

    # Forms.

    def _form(self, do: Callable[[FormData, list[int]], Awaitable[str]]) -> Answer:
        async def answer(request: Request) -> Response:
            form = await request.form(max_fields=20_000)
            chosen = _numbers(form, "face")
            if any(face >= len(self._album.sources) for face in chosen):
                raise HTTPException(404, "that face does not exist")
            async with self._changing:
                return RedirectResponse(await do(form, chosen), 303)

        return answer

    async def _name(self, form: FormData, _: list[int]) -> str:
        group = await self._shown(_one(_groups_in(form)))
        name = identity(str(form.get("name", "")))
        album = self._album
        best, rest = group[:_ENROLLED_AT_ONCE], group[_ENROLLED_AT_ONCE:]
        step = _Step(f"naming {len(group)} face{'' if len(group) == 1 else 's'} {name}")
        sources = [album.sources[face] for face in best]
        self._gallery.enroll(name, album.vectors[best], sources)
        step.person, step.sources = name, sources
        self._steps.append(step)  # can be undone even if the rest cannot be stored
        accepted = [Correction("is", album.sources[face], name) for face in rest]
        step.corrections = self._gallery.review.add(accepted) if accepted else []
        return "/"

    async def _merge(self, form: FormData, _: list[int]) -> str:
        keys = _groups_in(form)
        if len(keys) < 2:
            raise HTTPException(400, "choose at least two groups")
        faces = [(await self._shown(key))[0] for key in keys]
        sources = [self._album.sources[face] for face in faces]
        self._correct(
            f"merging {len(faces)} groups",
            [Correction("same", sources[0], other=source) for source in sources[1:]],
        )
        return f"/group/{faces[0]}"

    async def _split(self, form: FormData, faces: list[int]) -> str:
        group = await self._shown(_one(_groups_in(form)))
        rest = [face for face in group if face not in faces]
        if not (faces and rest) or not set(faces) <= set(group):
            raise HTTPException(400, "choose some of the faces of one group, not all")
        together = []
        for part in (faces, rest):  # each stays whole, whichever moves out
            first, *others = (self._album.sources[face] for face in part)
            together += [Correction("same", first, other=source) for source in others]
        ends = (self._album.sources[part[0]] for part in (faces, rest))
        apart = Correction("different", next(ends), other=next(ends))
        self._correct(f"splitting {len(faces)} faces off", [*together, apart])
        return f"/group/{rest[0]}"

    async def _discard(self, form: FormData, faces: list[int]) -> str:
        if form.get("whole"):
            faces = await self._shown(_one(_groups_in(form)))
        if not faces:
            raise HTTPException(400, "choose a face")
        unknown = set(itertools.chain.from_iterable(await self._groups()))
        chosen = [face for face in faces if face in unknown]
        kind = "not_a_face" if form.get("kind") == "not_a_face" else "ignore"
        sources = [self._album.sources[face] for face in chosen]
        words = f"discarding {len(sources)} faces"
        if sources:
            self._correct(words, [Correction(kind, source) for source in sources])  # type: ignore[arg-type]
        if len(chosen) < len(faces):
            raise HTTPException(
                _STALE,
                f"{len(faces) - len(chosen)} of {len(faces)} faces were left as they are, since "
                "they were named or discarded after the page was opened",
            )
        return _asked_in(form) if "order" in form else "/"

    async def _answer(self, form: FormData, faces: list[int]) -> str:
        name, said = identity(str(form.get("name", ""))), form.get("said")
        if said not in ("is", "is_not") or name not in self._gallery:
            raise HTTPException(400, "say yes or no about an enrolled person")
        if said == "is":
            await self._name(form, faces)
            return _asked_in(form)
        group = await self._shown(_one(_groups_in(form)))
        sources = [self._album.sources[face] for face in group]
        self._correct("saying no", [Correction("is_not", source, name) for source in sources])
        return _asked_in(form)

    async def _remove(self, form: FormData, _: list[int]) -> str:
        name = identity(str(form.get("name", "")))
        there = {_key(image): image.id for image in self._gallery.images(name)}
        chosen = [str(key) for key in form.getlist("image")]
        if not chosen or not there.keys() >= set(chosen):
            words = "choose photos of that person; if they have changed, open the page again"
            raise HTTPException(400, words)
        self._gallery.remove_images([there[key] for key in chosen])
        return "/people"

    async def _erase(self, form: FormData, _: list[int]) -> str:
        name = identity(str(form.get("name", "")))
        if identity(str(form.get("again", ""))) != name:
            raise HTTPException(400, "write the name again to erase a person for good")
        self._gallery.remove(name)
        self._steps = [step for step in self._steps if step.person != name]
        return "/people"

    async def _undo(self, form: FormData, _: list[int]) -> str:
        if not self._steps:
            raise HTTPException(400, "there is nothing to undo")
        step = self._steps[-1]  # it stays until all of it is undone
        if form.get("step") != str(step.number):
            raise HTTPException(
                _STALE,
                "something else was done or undone since the page was opened, so nothing was "
                "undone; open it again",
            )
        # Images may have been erased meanwhile, and a compaction renumbers them.
        self._gallery.review.take_back(step.corrections)
        given = {(source.sha256, source.box) for source in step.sources}
        enrolled = self._gallery.images_with_digests(
            {source.sha256 or "" for source in step.sources}
        )
        said = self._gallery.review.corrections
        self._gallery.remove_images(
            [p.id for p in enrolled if p.person == step.person and (p.sha256, p.box) in given]
        )
        # Erasing a person also erases the corrections of its faces, which become unknown again.
        there = {correction.number for correction in self._gallery.review.corrections}
        step.lost += [one for one in said if one.number not in there and one.person is None]
        numbers = [one.number for one in step.lost]
        again = dict(zip(numbers, self._gallery.review.add(step.lost), strict=True))
        self._steps.remove(step)
        for earlier in self._steps:
            earlier.corrections = [again.get(number, number) for number in earlier.corrections]
        return "/"

    async def _retract(self, form: FormData, _: list[int]) -> str:
        numbers = _numbers(form, "number")
        if len(numbers) != 1:
            raise HTTPException(400, "choose a correction")
        self._gallery.review.undo(numbers[0])
        for step in self._steps:
            step.corrections = [number for number in step.corrections if number not in numbers]
        self._steps = [step for step in self._steps if step.corrections or step.sources]
        return "/corrections"

    def _correct(self, words: str, corrections: list[Correction]) -> None:
        self._steps.append(_Step(words, self._gallery.review.add(corrections)))

    # Programs.

    async def api(self, _: Request) -> Response:
        """Describes the JSON interface."""
        return self._page("api.html", description=DESCRIPTION)

    async def openapi(self, _: Request) -> Response:
        """Returns its OpenAPI description."""
        return JSONResponse(DESCRIPTION)

    async def api_people(self, _: Request) -> Response:
        """Lists who is enrolled."""
        return JSONResponse({"people": self._gallery.people})

    async def api_recognize(self, request: Request) -> Response:
        """Names the people in the image in the request body."""
        body = await request.body()
        found = await run_in_threadpool(self._recognizer.recognize, body)
        return JSONResponse({"faces": [face.to_dict() for face in found]})

    async def api_enroll(self, request: Request) -> Response:
        """Enrolls the image in the request body."""
        name, body = identity(request.query_params.get("name", "")), await request.body()

        def enroll() -> Any:
            return self._recognizer.enroll(name, body, progress=False)

        async with self._changing:
            report = await run_in_threadpool(enroll)
        return JSONResponse({"name": name, "enrolled": len(report.used)})


def _key(image: EnrolledImage) -> str:
    """Returns what tells an enrolled image from all others, also after a compaction."""
    what = (image.id, image.person, image.source, image.sha256, image.box)
    return f"{image.id}-{sha256(repr(what).encode(errors='surrogatepass')).hexdigest()[:16]}"


def _group_key(group: Sequence[int]) -> str:
    """Returns what tells a group from all others, also from what it was and may become."""
    members = repr(sorted(group)).encode()
    return f"{min(group)}-{sha256(members).hexdigest()[:16]}"


def _groups_in(form: FormData) -> list[str]:
    """Returns the keys of the groups that a form shows, each once."""
    return list(dict.fromkeys(str(key) for key in form.getlist("group")))


def _numbers(form: FormData, name: str) -> list[int]:
    """Returns the whole numbers of a field, of a bounded length, each once."""
    given = [value for value in form.getlist(name) if isinstance(value, str)]
    return list({int(value): None for value in given if value.isdecimal() and len(value) < 16})


def _order(given: object) -> str:
    return "doubt" if given == "doubt" else "likely"


def _asked_in(form: FormData) -> str:
    """Returns the address of the suggestions, in the order in which a form was shown."""
    return f"/suggestions?order={_order(form.get('order'))}"


def _one(groups: list[str]) -> str:
    if len(groups) != 1:
        raise HTTPException(400, "choose a group")
    return groups[0]


def _paged(
    request: Request, items: Sequence[Item], size: int = 100
) -> tuple[Sequence[Item], dict[str, int]]:
    """Returns the items of the requested page, and its number and that of the last, from 0."""
    given, last = request.query_params.get("page", "0"), max(0, (len(items) - 1) // size)
    page = min(int(given) if given.isdecimal() and len(given) < 9 else 0, last)
    return items[page * size : (page + 1) * size], {"page": page, "last": last}
