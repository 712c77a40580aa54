"""The CSV files of the sample: synthetic aggregates, the same on every run.

Public datasets have a file; restricted and non-public ones have none, as in a real catalogue.
"""

import csv
import io
from collections.abc import Mapping

from services.host.sample.catalog import sample_dataset
from services.host.sample.degradations import degrade_table
from services.host.sample.draws import Row, seeded
from services.host.sample.place_rows import PLACE_RECIPES
from services.host.sample.social_rows import SOCIAL_RECIPES, Recipe
from shared.errors import NotFoundError

RECIPES: Mapping[str, Recipe] = {**SOCIAL_RECIPES, **PLACE_RECIPES}


def generate_rows(slug: str, degraded: frozenset[str] = frozenset()) -> str:
    """The dataset's CSV file as text: UTF-8 without byte order mark, ``\\n`` line ends, one header line.

    ``degraded`` holds names from :data:`services.host.sample.degradations.DEGRADATIONS`; the ones that
    strike another dataset change nothing here. ``broken-link`` is the server's to play, by answering 404.
    Raises ``NotFoundError`` when the dataset has no file, and ``ValueError`` for a name that isn't known.
    """
    recipe = RECIPES.get(slug)
    if recipe is None:
        raise NotFoundError(
            f"{slug!r} has no file.",
            what="file",
            field="name",
            fix="Use one of the public datasets of the sample.",
        )
    header = [column.name for column in sample_dataset(slug).columns]
    rows: list[Row] = list(recipe(seeded(slug)))
    header, rows = degrade_table(slug, (header, rows), degraded)
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(header)
    writer.writerows(rows)
    return text.getvalue()
