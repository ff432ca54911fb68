"""What is wrong with a value, in one sentence that never repeats it: it may be a password in the wrong place."""

from __future__ import annotations

from difflib import get_close_matches

from pydantic_core import ErrorDetails

from stan_edge.config.run_config import SECTIONS

_WRONG_TYPE = {
    **dict.fromkeys(("string_type", "path_type", "is_instance_of"), 'must be text; put it into "quotes"'),
    **dict.fromkeys(("float_type", "finite_number"), "must be a number; write it without quotes"),
    "string_too_short": "is empty; write a value, or take the line out",
    "bool_type": "must be true or false; write it without quotes",
    "int_type": "must be a whole number; write it without quotes",
}


def sentence(error: ErrorDetails, *, cameras_in_file: bool) -> str:
    """What is wrong with a value and what to do.

    Args:
        error: of pydantic, about a `RunConfig`.
        cameras_in_file: the file has a list of them, be it an empty one.
    """
    kind, place = error["type"], error["loc"]
    if kind == "extra_forbidden":
        return unknown(str(place[-1]), str(place[0]) if len(place) > 1 else None)
    if kind == "model_type":
        section = "camera" if place[0] == "cameras" else str(place[0])
        several = " (or [[camera]] for each of several)" if section == "camera" else ""
        return f"must be one section; write [{section}] above its fields, once{several}"
    if kind == "together" and error["ctx"]["field"] == "cameras" and cameras_in_file:
        return "is empty; write [[camera]] above the fields of each camera"
    if kind in ("value_error", "together"):
        return error["msg"].removeprefix("Value error, ")
    return _WRONG_TYPE.get(kind) or error["msg"].replace("Input should be", "must be") + "; change it"


def unknown(name: str, section: str | None) -> str:
    """That there is no such section, or no such field in one."""
    names = SECTIONS[section].model_fields if section else SECTIONS
    known = ["camera" if one == "cameras" else one for one in names]
    meant = "".join(f"did you mean {close}? " for close in get_close_matches(name, known, 1))
    return f"is unknown; {meant}known here: {', '.join(known)}"
