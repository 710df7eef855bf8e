"""The model: an *automation* is what a server does on an event: it retrains when documents came, marks a run as crashed that has fallen
silent (a *zombie*), and notifies people. Each is known by its name: it is made once, and brought up to date at each start. Notices are a
store's own: several may share a server.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from datetime import timedelta
from pathlib import Path
from uuid import UUID

from prefect.blocks.webhook import Webhook
from prefect.client.orchestration import PrefectClient
from prefect.client.schemas.objects import StateType
from prefect.events import Posture, ResourceSpecification
from prefect.events.actions import ActionTypes, CallWebhook, ChangeFlowRunState, RunDeployment, SendNotification
from prefect.events.schemas.automations import AutomationCore, EventTrigger
from prefect.exceptions import ObjectNotFound
from pydantic import SecretStr

from flows.arriving.events import COMMITTED, RESOURCE
from flows.deployed.table import TAG
from schemas.errors import RequestError
from schemas.fingerprint import digest_json

HEARTBEAT = 60
"""Seconds between signs of life of a flow run's process."""
SILENT = 3 * HEARTBEAT
WEBHOOK = "gristmill-notify"
"""In front of the name of the block that holds the address of GRISTMILL_NOTIFY_URL, enciphered."""
_NOTICE = "gristmill: tell of "
_CHAMPION = "gristmill.champion."
"""In front of a recipe's name, see `flows.retraining.announced`, which is too much to import here."""

_RUN_ENDS = {f"prefect.flow-run.{state}" for state in ("Completed", "Failed", "Cancelled", "Crashed", "AwaitingRetry")}
_BEATS = "prefect.flow-run.heartbeat"
_TOLD = {
    "failure": ({"prefect.flow-run.Failed", "prefect.flow-run.Crashed"}, 'flow_run.name ~ ": " ~ flow_run.state.message'),
    "promotion": ({"gristmill.champion.promoted"}, 'event.resource.id ~ ": a new champion. " ~ event.payload'),
    "refusal": ({"gristmill.challenger.refused"}, 'event.resource.id ~ ": was not replaced. " ~ event.payload'),
}
"""Events, and the text as an expression of Prefect's templates."""


def zombies() -> AutomationCore:
    """Mark runs as crashed that gave no sign of life for three beats."""
    trigger = EventTrigger(
        after={_BEATS},
        expect={_BEATS, *_RUN_ENDS},
        match=ResourceSpecification({"prefect.resource.id": ["prefect.flow-run.*"]}),
        for_each={"prefect.resource.id"},
        posture=Posture.Proactive,
        threshold=1,
        within=timedelta(seconds=SILENT),
    )
    action = ChangeFlowRunState(
        name="Crashed", state=StateType.CRASHED, force=False, message=f"its process has given no sign of life for {SILENT} s"
    )
    about = "A run whose process has fallen silent is marked as crashed. Its locks went with its process."
    return AutomationCore(name="gristmill: zombies", description=about, trigger=trigger, actions=[action])


def retraining(recipe: str, deployment: UUID) -> AutomationCore:
    """Ask whether to retrain when documents came."""
    match = ResourceSpecification({"prefect.resource.id": RESOURCE + recipe})
    trigger = EventTrigger(expect={COMMITTED}, match=match, posture=Posture.Reactive, threshold=1)
    about = "New documents: the flow itself asks whether they are reason enough, so an event that comes twice does no harm."
    name = f"gristmill: retrain {recipe}"
    action = RunDeployment(source="selected", deployment_id=deployment, parameters=None, job_variables=None)
    return AutomationCore(name=name, description=about, trigger=trigger, actions=[action])


def notices(block: tuple[str, UUID], recipes: Collection[str], store: Path) -> Iterator[AutomationCore]:
    """Notify people of what becomes of a store's recipes, by a webhook or a block that sends notifications: its type, and its id."""
    kind, document = block
    names = sorted(recipes)
    champions, tags = [_CHAMPION + name for name in names], [f"prefect.tag.{name}" for name in names]
    for what, (events, text) in _TOLD.items():
        runs = what == "failure"
        trigger = EventTrigger(
            expect=events,
            match=ResourceSpecification({"prefect.resource.id": "prefect.flow-run.*" if runs else champions}),
            match_related=[ResourceSpecification({"prefect.resource.id": one}) for one in (f"prefect.tag.{TAG}", tags)] if runs else [],
            posture=Posture.Reactive,
            threshold=1,
        )
        action: ActionTypes
        if kind == "webhook":
            action = CallWebhook(block_document_id=document, payload=f'{{"event": "{what}", "text": {{{{ ({text}) | tojson }}}}}}')
        else:
            action = SendNotification(block_document_id=document, subject=f"Gristmill: {what}", body=f"{{{{ {text} }}}}")
        yield AutomationCore(name=f"{_NOTICE}{what}, {store}", description=f"Notify on {what}.", trigger=trigger, actions=[action])


async def block_of(client: PrefectClient, named: str | None, url: str | None, store: Path) -> tuple[str, UUID] | None:
    """The block that notifies: `--notify TYPE/NAME`, or a store's webhook for GRISTMILL_NOTIFY_URL. Raises `RequestError` if there is
    none."""
    if named is not None:
        kind, _, name = named.partition("/")
        try:
            return kind, (await client.read_block_document_by_name(name, kind)).id
        except ObjectNotFound as error:
            raise RequestError(f"--notify {named!r}: there is no such block; make it in the browser, and name it TYPE/NAME") from error
    if url is not None:
        block = Webhook(url=SecretStr(url))
        return "webhook", await block.save(f"{WEBHOOK}-{digest_json(str(store))[:8]}", overwrite=True, client=client)
    return None


async def keep(client: PrefectClient, wanted: Mapping[str, AutomationCore], store: Path) -> None:
    """Make these automations, or bring them up to date. Copies that a race left are removed, so are a store's notices that nobody wants any
    more, and those of before notices were a store's."""
    for name, automation in wanted.items():
        there = await client.read_automations_by_name(name)
        if there:
            await client.update_automation(there[0].id, automation)
        else:
            await client.create_automation(automation)
        for copy in there[1:]:
            await client.delete_automation(copy.id)
    ours = {f"{_NOTICE}{what}{of}" for what in _TOLD for of in (f", {store}", "")}
    for old in await client.read_automations():
        if old.name in ours and old.name not in wanted:
            await client.delete_automation(old.id)
