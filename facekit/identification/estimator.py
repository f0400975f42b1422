"""scikit-learn's conventions for a classifier, without importing scikit-learn for them."""

from __future__ import annotations

import inspect
from typing import Any, TypeVar

Self = TypeVar("Self", bound="Classifier")


class Classifier:
    """The parts of ``sklearn.base.BaseEstimator`` and ``ClassifierMixin`` that are needed.

    Importing those takes longer than recognizing the faces of an image. Clones, pipelines, searches
    and scikit-learn's own checks need no more than this.
    """

    def get_params(self, deep: bool = True) -> dict[str, Any]:
        """Returns the arguments of the constructor by name.

        Args:
            deep: Ignored, as no argument is an estimator; scikit-learn passes it.
        """
        return {name: getattr(self, name) for name in _arguments(type(self))}

    def set_params(self: Self, **parameters: Any) -> Self:
        """Sets arguments of the constructor by name.

        Returns:
            The classifier itself.

        Raises:
            ValueError: If no argument has that name.
        """
        for name, value in parameters.items():
            if name not in _arguments(type(self)):
                raise ValueError(
                    f"Invalid parameter {name!r} for estimator {self}. Valid parameters are: "
                    f"{_arguments(type(self))}."
                )
            setattr(self, name, value)
        return self

    def __sklearn_tags__(self) -> Any:
        from sklearn.utils import ClassifierTags, Tags, TargetTags

        return Tags(
            estimator_type="classifier",
            target_tags=TargetTags(required=True),
            classifier_tags=ClassifierTags(),
        )

    def __repr__(self) -> str:
        defaults = inspect.signature(type(self)).parameters
        changed = [
            f"{name}={value!r}"
            for name, value in self.get_params().items()
            if value is not defaults[name].default and value != defaults[name].default
        ]
        return f"{type(self).__name__}({', '.join(changed)})"

    def _repr_mimebundle_(self, **_: Any) -> dict[str, str]:
        from sklearn.utils import estimator_html_repr

        return {"text/plain": repr(self), "text/html": estimator_html_repr(self)}


def _arguments(kind: type) -> list[str]:
    return sorted(inspect.signature(kind).parameters)
