"""The OpenAPI description of the JSON interface."""

from __future__ import annotations

from typing import Any


def _answered(what: str, **more: Any) -> dict[str, Any]:
    answers = {
        "200": {"description": what, "content": {"application/json": {}}},
        "400": {"description": "the photo cannot be used; error says why"},
    }
    return {"summary": what, "responses": answers, "security": [{"key": []}], **more}


_IMAGE = {"required": True, "content": {"application/octet-stream": {}, "image/*": {}}}

DESCRIPTION: dict[str, Any] = {
    "openapi": "3.1.0",
    "info": {"title": "facekit", "version": "1"},
    "components": {"securitySchemes": {"key": {"type": "http", "scheme": "bearer"}}},
    "paths": {
        "/api/people": {"get": _answered("The enrolled people, with the number of photos of each")},
        "/api/recognize": {
            "post": _answered("The faces of a photo, with their names", requestBody=_IMAGE)
        },
        "/api/enroll": {
            "post": _answered(
                "Enrolls the largest face of a photo",
                requestBody=_IMAGE,
                parameters=[{"name": "name", "in": "query", "required": True}],
            )
        },
    },
}
