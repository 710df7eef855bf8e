"""The model: a *child* of a version takes its place as the newest of its name, and says nothing new: rows were taken out of it, or its
shards merged. A child of one that is not the newest stands *in its place*, under its time. It is made in this process, draft first and
manifest last, so that it can be killed anywhere and goes on from there.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from pathlib import Path

from schemas.artifact import Artifact, PartKey
from schemas.draft import PARENT, TASK, Draft
from schemas.errors import RequestError
from schemas.fingerprint import Identity
from schemas.lease import Lease
from schemas.store import Store

Say = Callable[[str], None]


def make_child(
    store: Store,
    parent: Artifact,
    identity: Identity,
    inputs: Mapping[str, Path],
    make: Callable[[Draft], Collection[PartKey]],
    stages: Collection[str],
    say: Say,
    in_place: bool = False,
) -> Artifact:
    """Have the child of `parent` that `identity` stands for. `make` makes its own parts, and says which of its parent it does without.

    Its plan has all splits of the chain: whoever extends it asks no other version for them.
    """
    kind, name, fingerprint = parent.kind, parent.name, identity.fingerprint
    with Lease(store.lease_folder(kind, name, fingerprint), lambda holder: say(f"waiting for another process: {holder}")) as lease:
        for made in store.committed(kind, name, fingerprint):
            if not made.missing():
                _tidy(made.path)
                return made
        place = parent.version if in_place else None
        draft = store.unfinished(kind, name, fingerprint) or store.start(kind, name, identity, parent.plan_splits(), place)
        paths = {PARENT: parent.path.resolve(), **{role: path.resolve() for role, path in inputs.items()}}
        draft.assign(inputs=paths, roots={}, run={})
        without = make(draft)
        lease.check()
        made = draft.commit(tuple(stages), without)
        _tidy(made.path)
        return made


@contextmanager
def name_leases(store: Store, name: str, say: Say) -> Iterator[None]:
    """Let nobody else give documents/`name` a new version: runs that extend it are waited for, others don't commit meanwhile."""
    with ExitStack() as held:
        for lease in store.leases_of_name("documents", name):
            held.enter_context(Lease(lease, lambda holder: say(f"waiting for another process: {holder}")))
        yield


def newest(store: Store, kind: str, name: str) -> Artifact:
    """The newest version of a name. Raises `RequestError` if there is none."""
    return store.find(f"{kind}/{name}")


def _tidy(path: Path) -> None:
    """What a process leaves that is killed behind the commit."""
    Draft.open(path).clean()
    (path / TASK).unlink(missing_ok=True)


def plain_name(kind: str, named: str) -> str:
    """The name in `NAME` or `kind/NAME`. Raises `RequestError` for a version, which nothing can be done to by itself."""
    name = named.removeprefix(f"{kind}/")
    if "@" in name or "/" in name:
        raise RequestError(f"{named!r}: give the name alone; it is done to the newest version of {kind}/NAME")
    return name
