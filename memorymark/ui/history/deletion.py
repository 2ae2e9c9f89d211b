"""Deleting runs on the page: asked first, by id, and undone for a while."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import streamlit as st

from memorymark.errors import MemoryMarkError
from memorymark.report.visible import visible
from memorymark.service.history import KEPT_DELETED_SECONDS, Run
from memorymark.ui import say
from memorymark.ui.engine import app_service, visitor
from memorymark.units import UNKNOWN, moment

_ASKED = "runs_to_delete"
_DELETED = "runs_just_deleted"
_ERRORS = "runs_deletion_errors"
_MOST_NAMED = 10
_DAYS = round(KEPT_DELETED_SECONDS / 86_400)


def ask_to_delete(runs: Sequence[Run]) -> None:
    """Ask on the next drawing of the page whether to delete these very runs."""
    st.session_state[_ASKED] = tuple(runs)


def draw_deletion(on_deleted: Callable[[], None]) -> None:
    """Draw the question, what was just deleted, and what can be brought back.

    Args:
        on_deleted: Called once runs were deleted.
    """
    for error in st.session_state.pop(_ERRORS, ()):
        say.error("{}", error)
    asked: Sequence[Run] = st.session_state.get(_ASKED, ())
    if asked:
        with st.container(border=True):
            say.line("**Delete {}?** They can be brought back for {} days.", _number(asked), _DAYS)
            st.code(_named(asked), language=None)
            with st.container(horizontal=True):
                st.button("Delete", type="primary", on_click=_delete, args=(asked, on_deleted))
                st.button("Keep", on_click=_forget, args=(_ASKED,))
    deleted: Sequence[Run] = st.session_state.get(_DELETED, ())
    if deleted and not asked:
        with st.container(border=True):
            say.line("**Deleted {}.**", _number(deleted))
            st.code(_named(deleted), language=None)
            st.button("Undo", icon=":material/undo:", on_click=_bring_back, args=(deleted,))


def draw_deleted() -> None:
    """Draw the deleted runs that can be brought back, where there are any."""
    runs = app_service().history.deleted()
    if not runs:
        return
    with st.expander(f"Deleted runs ({len(runs)})", icon=":material/delete:"):
        names = {run.run_id: _name(run) for run in runs}
        chosen = st.multiselect("Runs", names, format_func=names.get, key="runs_deleted")
        picked = [run for run in runs if run.run_id in chosen]
        st.button("Bring back", disabled=not picked, on_click=_bring_back, args=(picked,))
        say.caption("Deleted runs are kept for {} days.", _DAYS)


def _delete(runs: Sequence[Run], on_deleted: Callable[[], None]) -> None:
    _forget(_ASKED)
    done = _each(runs, app_service().delete)
    if done:
        st.session_state[_DELETED] = done
        on_deleted()


def _bring_back(runs: Sequence[Run]) -> None:
    _forget(_DELETED)
    _each(runs, app_service().undelete)


def _each(runs: Sequence[Run], do: Callable[..., None]) -> tuple[Run, ...]:
    """Do something to each run, whatever happens to the others; return those to which it was."""
    done, errors = [], []
    for run in runs:
        try:
            do(run.run_id, visitor())
        except MemoryMarkError as error:
            errors.append(str(error))
        else:
            done.append(run)
    st.session_state[_ERRORS] = tuple(dict.fromkeys(errors))
    return tuple(done)


def _forget(key: str) -> None:
    st.session_state.pop(key, None)


def _number(runs: Sequence[Run]) -> str:
    return "1 run" if len(runs) == 1 else f"{len(runs)} runs"


def _named(runs: Sequence[Run]) -> str:
    more = [f"and {len(runs) - _MOST_NAMED} more"] if len(runs) > _MOST_NAMED else []
    return "\n".join([*map(_name, runs[:_MOST_NAMED]), *more])


def _name(run: Run) -> str:
    return visible(f"{run.run_id}  {run.kind} of {run.model or UNKNOWN}, {moment(run.created_at)}")
