"""Row recipes for schools, families, health and substance use: one function per dataset, seeded.

A recipe yields tuples in the order of the dataset's columns. Sizes follow the towns' populations.
"""

from collections.abc import Callable, Iterator, Mapping
from random import Random

from services.host.sample.catalog import sample_towns
from services.host.sample.draws import DATA_ENDS_ON, Row, count_around, months, near, part_of, rate, season

Recipe = Callable[[Random], Iterator[Row]]

_SCHOOL_YEARS = ("2020-21", "2021-22", "2022-23", "2023-24", "2024-25")
_STUDENT_GROUPS = (
    ("All students", 1.0, 0.17),
    ("English learners", 0.07, 0.25),
    ("Students with disabilities", 0.16, 0.27),
    ("Students with high needs", 0.42, 0.26),
)
_STORE_TYPES = (
    ("Supermarket", 0.16, 0.35),
    ("Grocery store", 0.12, 0.08),
    ("Convenience store", 0.55, 0.01),
    ("Farmers market", 0.08, 0.9),
    ("Other", 0.2, 0.02),
)
_ASTHMA_PERIODS = (("2010-2014", 1.15), ("2015-2019", 1.0), ("2020-2024", 0.72))
_ASTHMA_VISITS = (("Hospitalization", 9.0), ("Emergency department visit", 52.0))
_SUBSTANCES = (
    ("Fentanyl", 1.0),
    ("Cocaine", 0.55),
    ("Ethanol", 0.35),
    ("Xylazine", 0.24),
    ("Benzodiazepine", 0.21),
    ("Heroin", 0.14),
    ("Methadone", 0.11),
    ("Oxycodone", 0.08),
    ("Methamphetamine", 0.07),
)
_MISSPELLINGS: Mapping[str, tuple[str, ...]] = {
    "Bridgeport": ("Bridgport", "BRIDGEPORT", "Bridgeport "),
    "East Hartford": ("E. Hartford", "East Hartfrd", "EAST HARTFORD"),
    "Hartford": ("HARTFRD", "Hartfort", "hartford"),
    "Middletown": ("Middeltown", "MIDDLETOWN"),
    "New Britain": ("New Britian", "NEW BRITAIN", "New Brittain"),
    "New Haven": ("New  Haven", "NEW HAVEN", "Newhaven"),
    "Norwich": ("Norwhich", "NORWICH"),
    "Torrington": ("Torington", "TORRINGTON"),
    "Waterbury": ("Watebury", "WATERBURY", "Waterbury, CT"),
    "Windham": ("Windam", "Willimantic (Windham)"),
}
_MISSPELT_SHARE = 0.3


def district_enrollment(rng: Random) -> Iterator[Row]:
    """Enrollment falls a little each year; shares of the programmes differ from town to town."""
    for number, town in enumerate(sample_towns(), start=1):
        learners_share, meal_share = rng.uniform(0.01, 0.2), rng.uniform(0.08, 0.75)
        enrolled = town.population * rng.uniform(0.125, 0.16)
        for school_year in _SCHOOL_YEARS:
            enrolled *= rng.uniform(0.97, 1.005)
            total = round(enrolled)
            yield (
                school_year,
                f"D{number:03d}",
                f"{town.name} School District",
                total,
                part_of(rng, total, learners_share),
                part_of(rng, total, 0.16),
                part_of(rng, total, meal_share),
            )


def chronic_absenteeism(rng: Random) -> Iterator[Row]:
    """Small groups are printed unsuppressed on purpose: counts from 1 to 5 are the small cells to find."""
    for number, town in enumerate(sample_towns(), start=1):
        level = rng.uniform(0.6, 1.5)
        for school_year in _SCHOOL_YEARS[-3:]:
            students = round(near(rng, town.population * 0.14, 0.05))
            for group, group_share, absence_share in _STUDENT_GROUPS:
                enrolled = students if group_share == 1.0 else part_of(rng, students, group_share)
                absent = part_of(rng, enrolled, absence_share * level)
                yield (
                    school_year,
                    f"D{number:03d}",
                    f"{town.name} School District",
                    group,
                    enrolled,
                    absent,
                    rate(absent, enrolled),
                )


def care_4_kids(rng: Random) -> Iterator[Row]:
    """Families follow the town's size and need; a child costs more each year."""
    for town in sample_towns():
        need = rng.uniform(0.4, 1.8)
        for index, year in enumerate(range(DATA_ENDS_ON.year - 4, DATA_ENDS_ON.year + 1)):
            families = count_around(rng, town.population * 0.0055 * need)
            children = families + part_of(rng, families, 0.52)
            cost_usd = children * near(rng, 6100 * 1.045**index, 0.06)
            yield year, town.name, families, children, round(cost_usd, 2)


def local_unemployment(rng: Random) -> Iterator[Row]:
    """Unemployment is highest in late winter, as the season goes."""
    for town in sample_towns():
        level = rng.uniform(0.026, 0.058)
        for month in months(12):
            labor_force = round(town.population * near(rng, 0.53, 0.01))
            unemployed = part_of(rng, labor_force, level * season(month, 2, 0.12))
            yield (
                month,
                town.name,
                labor_force,
                labor_force - unemployed,
                unemployed,
                rate(unemployed, labor_force),
            )


def assistance_units(rng: Random) -> Iterator[Row]:
    """Households and people on assistance; a household has near two people."""
    for town in sample_towns():
        need = rng.uniform(0.3, 2.0)
        for month in months(12):
            snap_units = count_around(rng, town.population * 0.055 * need)
            cash_units = count_around(rng, town.population * 0.0016 * need)
            yield (
                month,
                town.name,
                snap_units,
                round(snap_units * near(rng, 1.75, 0.04)),
                cash_units,
                round(cash_units * near(rng, 2.1, 0.05)),
                count_around(rng, town.population * 0.19 * need),
            )


def snap_retailers(rng: Random) -> Iterator[Row]:
    """Shops by kind; towns without a shop of a kind have a row with zero."""
    for town in sample_towns():
        for store_type, per_1000, incentive_share in _STORE_TYPES:
            shops = count_around(rng, town.population / 1000 * per_1000)
            yield DATA_ENDS_ON, town.name, store_type, shops, part_of(rng, shops, incentive_share)


def asthma_rates(rng: Random) -> Iterator[Row]:
    """Rates are printed however few visits they rest on, so those of small towns jump about."""
    for town in sample_towns():
        level = rng.uniform(0.5, 1.7)
        for period, trend in _ASTHMA_PERIODS:
            population_years = round(near(rng, town.population * 5, 0.02))
            for visit_type, per_10000 in _ASTHMA_VISITS:
                visits = count_around(rng, population_years * per_10000 / 10_000 * level * trend)
                crude = rate(visits, population_years, 10_000)
                adjusted = None if crude is None else round(near(rng, crude, 0.08), 1)
                yield period, town.name, visit_type, visits, population_years, crude, adjusted


def drug_deaths(rng: Random) -> Iterator[Row]:
    """Towns are named as typed: about a third of the rows of ten towns carry a misspelt name."""
    for year in range(2023, 2026):
        months_covered = 0.5 if year == 2025 else 1.0
        for town in sample_towns():
            for substance, weight in _SUBSTANCES:
                deaths = count_around(rng, town.population / 1000 * 0.34 * weight * months_covered)
                if deaths:
                    yield year, _as_typed(rng, town.name), substance, deaths


def opioid_admissions(rng: Random) -> Iterator[Row]:
    """Admissions by fiscal year; the share with medication rises."""
    for town in sample_towns():
        level = rng.uniform(0.5, 1.6)
        for index, fiscal_year in enumerate(range(2020, 2026)):
            admissions = count_around(rng, town.population * 0.0062 * level)
            yield (
                fiscal_year,
                town.name,
                admissions,
                part_of(rng, admissions, 0.42 + 0.04 * index),
                rate(admissions, town.population, 10_000),
            )


def naloxone_pharmacies(rng: Random) -> Iterator[Row]:
    """The pharmacies of a town change seldom; more of them offer naloxone each month."""
    for town in sample_towns():
        pharmacies = count_around(rng, town.population / 5200)
        offering = part_of(rng, pharmacies, 0.75)
        around_the_clock = part_of(rng, offering, 0.08)
        for month in months(6):
            if offering < pharmacies and rng.random() < 0.1:
                offering += 1
            yield month, town.name, pharmacies, offering, around_the_clock


def _as_typed(rng: Random, town: str) -> str:
    spellings = _MISSPELLINGS.get(town)
    if spellings is None or rng.random() > _MISSPELT_SHARE:
        return town
    return rng.choice(spellings)


SOCIAL_RECIPES: Mapping[str, Recipe] = {
    "district-enrollment": district_enrollment,
    "chronic-absenteeism-by-district": chronic_absenteeism,
    "care-4-kids-expenditures-by-town": care_4_kids,
    "local-area-unemployment-statistics-by-town": local_unemployment,
    "monthly-assistance-units-and-recipients-by-town": assistance_units,
    "snap-authorized-retailers": snap_retailers,
    "asthma-hospitalization-and-ed-rates-by-town": asthma_rates,
    "accidental-drug-related-deaths-by-town-and-substance": drug_deaths,
    "opioid-treatment-admissions-by-town": opioid_admissions,
    "pharmacies-offering-naloxone": naloxone_pharmacies,
}
