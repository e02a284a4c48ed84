"""How the reference shows classes: fields with their types, signatures worth reading, links."""

# Sphinx decides which arguments the functions have that it calls.
# ruff: noqa: ARG001, INP001, PLR0917

from __future__ import annotations

import inspect
import re
import typing

import attrs
from docutils import nodes
from sphinx.addnodes import pending_xref
from sphinx.application import Sphinx
from sphinx.domains.python import PyObject
from sphinx.environment import BuildEnvironment
from sphinx.util.nodes import make_refnode
from sphinx.util.typing import ExtensionMetadata, stringify_annotation

from personaclick_async import DeviceUser, User
from personaclick_async.config import CallOptions
from personaclick_async.emulator import Behaviour, Fault
from personaclick_async.emulator.settings import POINTS
from personaclick_async.facade import Handle
from personaclick_async.models.reading import Model
from personaclick_async.models.update import ProfileUpdate
from personaclick_async.protocol.answers import Answer

PACKAGE = "personaclick_async"

# Who uses these, errors and models gets them from a call: how they are made says nothing.
_MADE_BY_CALLS = re.compile(
    "Answer|Attempt|CacheStats|CallError|CallOptions|Cause|Checked|Config|Delivered|DeviceUser|Failed"
    "|Fault|Finding|Handle|Held|IncomingRequest|Limit|OrderCalls|Personaclick|ProbeReport|ProfileCalls"
    "|ProfileFields|ProfileStore|Queued|RawOrderCalls|RawProfileCalls|RecordedRequest"
    "|Refused|RejectSink|Rejected|Report|Route|Source|SourceKind|Sync|TableSource"
    "|TransportStats|Unchanged|Unfinished|User|Visitor|Waiting"
)
# The default of arguments that are not given: the text says what applies then.
_UNSET = re.compile(r" \| [~\w.]*\bUnset\b")
# Defaults that are no Python, such as <function utc_now>, or that say nothing.
_NO_VALUE = re.compile(r"(?<==)\s*(?:<[^>]*>|NOTHING|Unset\.UNSET)")
_DESCRIBED = re.compile(r":ivar (\w+):")
_COMMENTED = re.compile(r"^    (\w+): .*  # (?!noqa)(.+)$", re.MULTILINE)
_PRIVATE = {
    *((Answer, "call"), (CallOptions, "ends"), (Fault, "among")),
    *((Handle, "command"), (Handle, "is_answered"), (User, "scope"), (DeviceUser, "scope")),
}
# The page has a table of its fields, with the rule of each.
_TABLED = {ProfileUpdate}


def _signature(
    app: Sphinx, what: str, name: str, thing: object, options: object, args: str, returns: str
) -> tuple[str, None] | None:
    if not args or not inspect.isclass(thing):
        return None
    if issubclass(thing, BaseException | Model) or _MADE_BY_CALLS.fullmatch(thing.__qualname__):
        return "", None
    return _NO_VALUE.sub(" ...", _UNSET.sub("", args)), None


def _fields(
    app: Sphinx, what: str, name: str, thing: type, options: object, lines: list[str]
) -> None:
    """Add the type of every public field of an attrs class, and the comment that describes it."""
    if not inspect.isclass(thing) or not attrs.has(thing) or thing in _TABLED:
        return
    described = {found[1] for line in lines if (found := _DESCRIBED.match(line))}
    sources = [inspect.getsource(one) for one in thing.__mro__ if attrs.has(one)]
    comments = dict(_COMMENTED.findall("\n".join(sources)))
    if thing is Behaviour:
        comments = {
            name: f"{point.words} ({', '.join(map(str, point.choices))})"
            for name, point in POINTS.items()
        }
    kinds = _kinds(thing)
    lines.append("")
    for field in attrs.fields(thing):
        if field.name.startswith("_") or (thing, field.name) in _PRIVATE:
            continue
        if field.name not in described:
            lines.append(f":ivar {field.name}: {comments.get(field.name, '')}")
        lines.append(f":vartype {field.name}: {kinds.get(field.name, field.type)}")


def _kinds(thing: type) -> dict[str, str]:
    """Spell the types of the fields, aliases resolved where that can be done."""
    try:
        known = typing.get_type_hints(thing)
    except NameError:
        known = {}
    return {name: stringify_annotation(kind, "smart") for name, kind in known.items()}


def _link(
    app: Sphinx, env: BuildEnvironment, node: pending_xref, text: nodes.TextElement
) -> nodes.reference | None:
    """Find what a docstring calls by its bare name, or by the private module that it is in."""
    if node.get("refdomain") != "py":
        return None
    wanted = node["reftarget"]
    if "." in wanted and not wanted.startswith(PACKAGE):
        return None
    last = "." + wanted.rpartition(".")[2]
    objects = env.domains.python_domain.objects
    found = {
        (one.docname, one.node_id, name)
        for name, one in objects.items()
        if name.endswith(last) and not one.aliased
    }
    if len(found) != 1:
        return None
    [(page, anchor, name)] = found
    return make_refnode(app.builder, node["refdoc"], page, anchor, text, name)


def setup(app: Sphinx) -> ExtensionMetadata:
    """Register with Sphinx."""
    for field in PyObject.doc_field_types:
        if field.name == "variable":
            field.label = "Attributes"
    app.connect("autodoc-process-signature", _signature)
    app.connect("autodoc-process-docstring", _fields)
    app.connect("missing-reference", _link)
    return {"parallel_read_safe": True}
