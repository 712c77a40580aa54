"""``nutmeg status``, ``dlq`` and ``token``: what operators do."""

import asyncio
from datetime import datetime
from typing import TYPE_CHECKING, Annotated, Any
from uuid import UUID

import typer

from services.host.cli.errors import FAILED, CommandError
from services.host.cli.options import (
    AsJson,
    DataDir,
    InstallationProfile,
    ProfileOption,
    RemoteAPI,
    RemoteToken,
    Target,
    answer_of,
)
from services.host.cli.people import person_id_of
from shared.identity.viewer import SCOPE_MEANINGS, TokenScope

if TYPE_CHECKING:
    from services.host.cli.connection import Connection

__all__ = ["add_operations"]

LETTERS_PER_PAGE = 100
REPLAY_SECONDS_MAX = 600.0
REPLAY_LOOK_SECONDS = 0.25
TOPIC_HELP = "Only of this topic."
SCOPE_HELP = "For a program: " + "; ".join(f"{scope}: {what}" for scope, what in SCOPE_MEANINGS.items()) + "."
GROUP_HELP = "Only of this consumer group."


def add_operations(app: typer.Typer) -> None:
    """Add the commands."""
    _add_status(app)
    letters = typer.Typer(no_args_is_help=True, help="Dead letters: records that a group could not handle.")
    app.add_typer(letters, name="dlq")
    _add_reading(letters)
    _add_replay(letters)
    _add_discard(letters)
    tokens = typer.Typer(no_args_is_help=True, help="Tokens: what lets programs and people in.")
    app.add_typer(tokens, name="token")
    _add_tokens(tokens)
    _add_revoking(tokens)


def _add_status(app: typer.Typer) -> None:
    @app.command()
    def status(
        as_json: AsJson = False,
        data_dir: DataDir = None,
        api: RemoteAPI = None,
        token: RemoteToken = None,
        profile: ProfileOption = InstallationProfile.EMBEDDED,
    ) -> None:
        """Is it well? Exit code 1 if something needs a person."""
        from services.host.cli.output import say, show_json, show_table
        from shared.web.wording import exact_time

        found = answer_of(
            Target(data_dir, api, token, profile), lambda connection: connection.get("/api/v1/ops/status")
        )
        if as_json:
            show_json(found)
        else:
            rows = [
                (
                    one["group"],
                    one["state"],
                    f"{one['lag_seconds']:.1f}",
                    one["lag_records"],
                    one["waiting_records"],
                    one["handled"],
                )
                for one in found["consumers"]
            ]
            columns = ["Group", "State", "Lag (s)", "Behind", "Waiting", "Handled"]
            show_table("Consumers", columns, rows)
            for record in found["waiting"]:
                words = f"{record['key']} waits for {record['waits_for']}"
                say(f"{record['group']}: {words} since {exact_time(record['since'])}")
            for cause in [*(found["causes"] or ["All is well."]), *found.get("notices", [])]:
                say(cause)
        if found["status"] != "ok":
            raise typer.Exit(FAILED)


def _add_reading(group: typer.Typer) -> None:
    @group.command(name="list")
    def list_letters(
        topic: Annotated[str | None, typer.Option("--topic", help=TOPIC_HELP)] = None,
        consumer_group: Annotated[str | None, typer.Option("--group", help=GROUP_HELP)] = None,
        state: Annotated[str | None, typer.Option("--state", help="open, failed, replayed, …")] = None,
        as_json: AsJson = False,
        data_dir: DataDir = None,
        api: RemoteAPI = None,
        token: RemoteToken = None,
        profile: ProfileOption = InstallationProfile.EMBEDDED,
    ) -> None:
        """List dead letters, the latest first."""
        from services.host.cli.output import show_json, show_table
        from shared.web.wording import exact_time

        items = answer_of(
            Target(data_dir, api, token, profile),
            lambda connection: _letters(connection, topic=topic, group=consumer_group, state=state),
        )
        if as_json:
            show_json({"items": items, "total": len(items)})
            return
        rows = [
            (
                one["id"],
                exact_time(one["last_at"]),
                one["group"],
                one["topic"],
                one["state"],
                one["detail"],
                one["outcome"],
            )
            for one in items
        ]
        columns = ["Id", "Last failed", "Group", "Topic", "State", "Why", "What became of it"]
        show_table(f"{len(items):,} dead letters", columns, rows)

    @group.command()
    def show(
        dead_letter_id: Annotated[UUID, typer.Argument(help="Its id, as the list shows it.")],
        as_json: AsJson = False,
        data_dir: DataDir = None,
        api: RemoteAPI = None,
        token: RemoteToken = None,
        profile: ProfileOption = InstallationProfile.EMBEDDED,
    ) -> None:
        """Show one dead letter with its reason, headers and value."""
        from services.host.cli.output import show_json

        letter = answer_of(
            Target(data_dir, api, token, profile),
            lambda connection: connection.get(f"/api/v1/ops/dead-letters/{dead_letter_id}"),
        )
        if as_json:
            show_json(letter)
        else:
            _show_letter(letter)


def _show_letter(letter: dict[str, Any]) -> None:
    from services.host.cli.output import show_table
    from shared.web.wording import exact_time

    moments = ("first_at", "last_at", "published_at")
    history = letter.pop("history")
    rows = [(name, exact_time(value) if name in moments else value) for name, value in letter.items()]
    show_table(f"Dead letter {letter['id']}", ["What", "Is"], rows)
    decided = [
        (
            exact_time(one["happened_at"]),
            one["act"],
            one["person_id"] or "a command",
            one["reason"] or "–",
        )
        for one in history
    ]
    if decided:
        show_table("What was decided", ["When", "What", "By", "Why"], decided)


def _add_replay(group: typer.Typer) -> None:
    @group.command()
    def replay(
        ids: Annotated[list[UUID] | None, typer.Argument(help="Ids; without, choose by options.")] = None,
        everything: Annotated[bool, typer.Option("--all", help="All that are open or failed.")] = False,
        topic: Annotated[str | None, typer.Option("--topic", help=TOPIC_HELP)] = None,
        consumer_group: Annotated[str | None, typer.Option("--group", help=GROUP_HELP)] = None,
        as_json: AsJson = False,
        data_dir: DataDir = None,
        api: RemoteAPI = None,
        token: RemoteToken = None,
        profile: ProfileOption = InstallationProfile.EMBEDDED,
    ) -> None:
        """Have dead letters handled again by the group that failed. Exit code 1 if one fails again."""
        if not (ids or everything or topic or consumer_group):
            raise typer.BadParameter("name ids, --topic, --group, or --all")

        async def act(connection: "Connection") -> list[dict[str, Any]]:
            order: dict[str, Any] = {"topic": topic, "group": consumer_group}
            if ids:
                order["ids"] = [str(one) for one in ids]
            asked = await connection.call("POST", "/api/v1/ops/dead-letters/replay", json=order)
            return await _until_replayed(connection, set(asked["requested"]))

        _tell_replayed(answer_of(Target(data_dir, api, token, profile), act), as_json=as_json)


def _add_discard(group: typer.Typer) -> None:
    @group.command()
    def discard(
        reason: Annotated[
            str, typer.Option("--reason", help="Why nobody is ever to handle them; it is kept.")
        ],
        ids: Annotated[list[UUID] | None, typer.Argument(help="Ids; without, choose by options.")] = None,
        topic: Annotated[str | None, typer.Option("--topic", help=TOPIC_HELP)] = None,
        consumer_group: Annotated[str | None, typer.Option("--group", help=GROUP_HELP)] = None,
        as_json: AsJson = False,
        data_dir: DataDir = None,
        api: RemoteAPI = None,
        token: RemoteToken = None,
        profile: ProfileOption = InstallationProfile.EMBEDDED,
    ) -> None:
        """Decide that dead letters are never handled. Who, when and why is kept; a replay stays possible."""
        from services.host.cli.output import say, show_json

        if not (ids or topic or consumer_group):
            raise typer.BadParameter("name ids, --topic or --group")
        order: dict[str, Any] = {"topic": topic, "group": consumer_group, "reason": reason}
        if ids:
            order["ids"] = [str(one) for one in ids]
        answer = answer_of(
            Target(data_dir, api, token, profile),
            lambda connection: connection.call("POST", "/api/v1/ops/dead-letters/discard", json=order),
        )
        if as_json:
            show_json(answer)
            return
        say(f"{len(answer['discarded']):,} discarded")
        for identity in answer["discarded"]:
            say(identity)


async def _until_replayed(connection: "Connection", ids: set[str]) -> list[dict[str, Any]]:
    """Return these letters once none of them waits for its group any more."""
    until = asyncio.get_running_loop().time() + REPLAY_SECONDS_MAX
    while ids:
        letters = [one for one in await _letters(connection) if one["id"] in ids]
        waiting = sum(one["state"] == "requested" for one in letters)
        if not waiting:
            return letters
        if asyncio.get_running_loop().time() > until:
            raise CommandError(f"{waiting:,} still wait for their group; does it run? See nutmeg status")
        await asyncio.sleep(REPLAY_LOOK_SECONDS)
    return []


async def _letters(connection: "Connection", **chosen: Any) -> list[dict[str, Any]]:
    items: list[dict[str, Any]] = []
    cursor = None
    while True:
        page = await connection.get(
            "/api/v1/ops/dead-letters", cursor=cursor, limit=LETTERS_PER_PAGE, **chosen
        )
        items += page["items"]
        cursor = page["next_cursor"]
        if cursor is None:
            return items


def _tell_replayed(letters: list[dict[str, Any]], *, as_json: bool) -> None:
    from services.host.cli.output import show_json, show_table

    items = [
        {"id": one["id"], "state": one["state"], "detail": one["state_detail"], "outcome": one["outcome"]}
        for one in letters
    ]
    if as_json:
        show_json({"items": items})
    else:
        rows = [(one["id"], one["state"], one["outcome"]) for one in items]
        show_table(f"{len(items):,} replayed", ["Id", "State", "What became of it"], rows)
    if any(one["state"] == "failed" for one in items):
        raise typer.Exit(FAILED)


def _add_tokens(group: typer.Typer) -> None:
    @group.command()
    def issue(
        email: Annotated[str, typer.Argument(help="Address of a known person or program.")],
        label: Annotated[str, typer.Option("--label", help="What it is for.")] = "issued by command",
        days: Annotated[int, typer.Option("--days", min=1, max=366, help="How long it lives.")] = 90,
        scopes: Annotated[list[TokenScope] | None, typer.Option("--scope", help=SCOPE_HELP)] = None,
        as_json: AsJson = False,
        data_dir: DataDir = None,
        api: RemoteAPI = None,
        token: RemoteToken = None,
    ) -> None:
        """Issue a token. It is printed once and kept nowhere. With scopes it is a program's."""
        from services.host.cli.output import say, show_json

        async def act(connection: "Connection") -> Any:
            person_id = await person_id_of(connection, email)
            order = {"person_id": person_id, "label": label, "days": days, "scopes": scopes or []}
            return await connection.call("POST", "/api/v1/tokens", json=order)

        issued = answer_of(Target(data_dir, api, token), act)
        if as_json:
            show_json(issued)
        else:
            say(issued["token"])

    @group.command(name="list")
    def list_tokens(
        email: Annotated[str | None, typer.Argument(help="Only of this person.")] = None,
        as_json: AsJson = False,
        data_dir: DataDir = None,
        api: RemoteAPI = None,
        token: RemoteToken = None,
    ) -> None:
        """List tokens that were issued: ids, labels, scopes and times, never the tokens themselves."""
        from services.host.cli.output import show_json, show_table

        async def act(connection: "Connection") -> Any:
            person_id = None if email is None else await person_id_of(connection, email)
            return await connection.get("/api/v1/tokens", person_id=person_id)

        found = answer_of(Target(data_dir, api, token), act)
        if as_json:
            show_json(found)
            return
        names = list(found["items"][0]) if found["items"] else []
        rows = [
            [", ".join(value) if isinstance(value, list) else value for value in one.values()]
            for one in found["items"]
        ]
        show_table(f"{len(found['items']):,} tokens", names, rows)


def _add_revoking(group: typer.Typer) -> None:
    @group.command()
    def revoke(
        email: Annotated[str, typer.Argument(help="Address of the person whose token it is.")],
        token_id: Annotated[
            str | None, typer.Option("--id", help="Only this token; by default all issued so far.")
        ] = None,
        as_json: AsJson = False,
        data_dir: DataDir = None,
        api: RemoteAPI = None,
        token: RemoteToken = None,
    ) -> None:
        """Revoke one token of a person, or all, everywhere."""
        from services.host.cli.output import say, show_json

        async def act(connection: "Connection") -> str:
            person_id = await person_id_of(connection, email)
            await connection.call(
                "DELETE", f"/api/v1/people/{person_id}/tokens", parameters={"token_id": token_id}
            )
            return person_id

        person_id = answer_of(Target(data_dir, api, token), act)
        if as_json:
            revoked_at = datetime.now().astimezone().isoformat(timespec="seconds")
            show_json({"person_id": person_id, "token_id": token_id, "revoked_at": revoked_at})
        else:
            say("Revoked." if token_id else "All tokens of this person are revoked.")
