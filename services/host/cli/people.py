"""``nutmeg person``: what the directory keeps about somebody, and forgetting them."""

from typing import TYPE_CHECKING, Annotated, Any

import typer

from services.host.cli.errors import CommandError
from services.host.cli.options import AsJson, DataDir, RemoteAPI, RemoteToken, Target, answer_of

if TYPE_CHECKING:
    from services.host.cli.connection import Connection

__all__ = ["add_people", "person_id_of"]

Address = Annotated[str, typer.Argument(help="Address of a known person or program.")]


def add_people(app: typer.Typer) -> None:
    """Add the commands."""
    people = typer.Typer(no_args_is_help=True, help="People: their data, and erasing them.")
    app.add_typer(people, name="person")

    @people.command()
    def export(
        email: Address, data_dir: DataDir = None, api: RemoteAPI = None, token: RemoteToken = None
    ) -> None:
        """Print all that is kept about a person, as JSON."""
        from services.host.cli.output import show_json

        async def act(connection: "Connection") -> dict[str, Any]:
            person_id = await person_id_of(connection, email)
            return {
                "directory": await connection.get(f"/api/v1/directory/people/{person_id}/data"),
                "messages": await connection.get(f"/api/v1/inbox/people/{person_id}/data"),
            }

        show_json(answer_of(Target(data_dir, api, token), act))

    @people.command()
    def erase(
        email: Address,
        yes: Annotated[bool, typer.Option("--yes", help="Really: it cannot be undone.")] = False,
        as_json: AsJson = False,
        data_dir: DataDir = None,
        api: RemoteAPI = None,
        token: RemoteToken = None,
    ) -> None:
        """Erase a person everywhere, with what they wrote in requests. It cannot be undone."""
        from services.host.cli.output import say, show_json

        if not yes:
            raise CommandError(f"nothing was erased: it cannot be undone; to erase {email}, add --yes")

        async def act(connection: "Connection") -> str:
            person_id = await person_id_of(connection, email)
            await connection.call("DELETE", f"/api/v1/directory/people/{person_id}")
            return person_id

        person_id = answer_of(Target(data_dir, api, token), act)
        if as_json:
            show_json({"person_id": person_id})
        else:
            say("Erased. What the log still has of them goes within 25 hours.")


async def person_id_of(connection: "Connection", email: str) -> str:
    """Return who has an address. Raises ``CommandError`` for nobody."""
    people = await connection.get("/api/v1/directory/people")
    for person in people["items"]:
        if (person["email"] or "").lower() == email.lower():
            return str(person["person_id"])
    raise CommandError(f"no person has the address {email}; import people first: nutmeg import people FILE")
