"""How a typed value is kept in a vtkMRMLScriptedModuleNode (texts and node references)."""

import dataclasses
import enum
import pathlib
import typing
from collections.abc import Callable

import slicer


@dataclasses.dataclass
class Storage:
    kinds: tuple[type, ...]
    empty: Callable
    toText: Callable
    fromText: Callable

    def check(self, value):
        if not isinstance(value, self.kinds):
            raise TypeError(f"{value!r} is not of type {' or '.join(k.__name__ for k in self.kinds)}")

    def isIn(self, node, name):
        return bool(node.HasParameter(name))

    def write(self, node, name, value):
        node.SetParameter(name, self.toText(value))

    def read(self, node, name):
        return self.fromText(node.GetParameter(name))


class NodeStorage(Storage):
    """A node reference; the empty parameter of the same name says that it was set."""

    def __init__(self, kinds):
        super().__init__((*kinds, type(None)), lambda: None, str, str)

    def write(self, node, name, value):
        node.SetParameter(name, "")
        node.SetNodeReferenceID(name, value.GetID() if value is not None else None)

    def read(self, node, name):
        return node.GetNodeReference(name)


def nodeTypes(hint) -> tuple[type, ...]:
    """The node classes of a hint `Node`, `Node | None` or a union of nodes; empty for anything else."""
    kinds = typing.get_args(hint) if typing.get_origin(hint) is typing.Union else (hint,)
    nodes = tuple(k for k in kinds if isinstance(k, type) and issubclass(k, slicer.vtkMRMLNode))
    return nodes if all(k in nodes or k is type(None) for k in kinds) else ()


def storageFor(hint) -> Storage:
    if nodeTypes(hint):
        return NodeStorage(nodeTypes(hint))
    if hint is bool:
        return Storage((bool, int), bool, lambda v: "True" if v else "False", lambda text: text == "True")
    if hint is int:
        return Storage((int, float), int, lambda v: str(int(v)), int)
    if hint is float:
        return Storage((int, float), float, lambda v: str(float(v)), float)
    if hint is str:
        return Storage((str,), str, str, str)
    if isinstance(hint, type) and issubclass(hint, enum.Enum):
        return Storage((hint,), lambda: next(iter(hint)), lambda v: v.name, lambda text: hint[text])
    if isinstance(hint, type) and issubclass(hint, pathlib.PurePath):
        return Storage((pathlib.PurePath,), hint, str, hint)
    raise TypeError(f"The small parameterNodeWrapper of the tests has no type {hint}; run with SLICER_BASE_PYTHON")
