"""Row recipes for money, business, roads, land, weather and counts across subjects: seeded, one per dataset.

A recipe yields tuples in the order of the dataset's columns.
"""

from collections.abc import Iterator, Mapping
from datetime import date
from random import Random

from services.host.sample.catalog import SampleTown, sample_agencies, sample_towns
from services.host.sample.draws import (
    DATA_ENDS_ON,
    Row,
    count_around,
    days,
    months,
    near,
    part_of,
    rate,
    season,
)
from services.host.sample.social_rows import Recipe

_EXPENSES = (
    ("Salaries and wages", 310_000.0),
    ("Grants to towns", 240_000.0),
    ("Medical services", 190_000.0),
    ("Contracted services", 62_000.0),
    ("Rent and utilities", 21_000.0),
    ("Supplies", 9_000.0),
    ("Travel", 1_400.0),
)
_CERTIFICATIONS = (
    ("Small business", 0.055),
    ("Minority-owned", 0.026),
    ("Woman-owned", 0.03),
    ("Owned by a person with a disability", 0.004),
)
_HEATING_REGIONS = ("Central", "Eastern", "Northwest", "Southeast", "Southwest", "Southern")
_STORM_RETURN_YEARS = (0, 10, 30, 100)
_SEA_LEVEL_RISE_INCHES = (0, 12, 20, 36)
_DRIVER_GROUPS = (
    ("Asian", 0.04, 0.018),
    ("Black", 0.15, 0.052),
    ("Hispanic", 0.17, 0.047),
    ("White", 0.64, 0.026),
)
_STOP_REASONS = (("Moving", 0.62), ("Equipment", 0.2), ("Administrative", 0.18))
_LICENSE_TYPES = {
    "Trade": "Electrician|Plumber|Home improvement contractor|Heating and cooling technician|Roofer"
    "|Solar installer|Sheet metal worker|Elevator technician|Well driller|Land surveyor|Architect"
    "|Professional engineer",
    "Health": "Pharmacist|Pharmacy technician|Registered nurse|Physician|Dentist|Physical therapist"
    "|Optometrist|Veterinarian|Paramedic|Social worker|Dental hygienist|Respiratory therapist",
    "Business": "Real estate broker|Real estate salesperson|Liquor permit|Bakery|Grocery beer permit|Pharmacy"
    "|Gasoline retailer|Weighing device|Health club|Mobile home park|Auctioneer|Charity",
    "Other": "Barber|Hairdresser|Nail technician|Casino employee|Caterer",
}
_LEGAL_FORMS = (
    ("Limited liability company", 62.0),
    ("Stock corporation", 14.0),
    ("Nonstock corporation", 6.0),
    ("Partnership", 2.5),
)
_ASSISTANCE_PROGRAMS = (
    "Small business express",
    "Manufacturing assistance",
    "Innovation vouchers",
    "Brownfield remediation",
)
_SECTORS = {
    "11": "Agriculture and forestry",
    "22": "Utilities",
    "23": "Construction",
    "31-33": "Manufacturing",
    "42": "Wholesale trade",
    "44-45": "Retail trade",
    "48-49": "Transportation and warehousing",
    "51": "Information",
    "52": "Finance and insurance",
    "53": "Real estate",
    "54": "Professional services",
    "55": "Management of companies",
    "62": "Health care",
    "72": "Lodging and food",
}
_CREDITS = (
    "Research and development",
    "Fixed capital investment",
    "Film production",
    "Job creation",
    "Historic rehabilitation",
    "Neighborhood assistance",
)
_LAND_USES = (
    ("Single family", 0.26, 0.6, 265_000),
    ("Other residential", 0.07, 0.25, 240_000),
    ("Commercial", 0.018, 1.4, 720_000),
    ("Industrial", 0.005, 4.2, 1_100_000),
    ("Farm and forest", 0.012, 24.0, 64_000),
    ("Public", 0.009, 11.0, 900_000),
)
_COUNTY_CENTRES = {
    "Fairfield": (41.27, -73.39),
    "Hartford": (41.80, -72.73),
    "Litchfield": (41.79, -73.24),
    "Middlesex": (41.44, -72.52),
    "New Haven": (41.41, -72.93),
    "New London": (41.48, -72.10),
    "Tolland": (41.85, -72.34),
    "Windham": (41.83, -71.99),
}
_FACILITIES = {
    "Bergin": 380,
    "Bridgeport Center": 690,
    "Brooklyn Center": 430,
    "Cheshire Institution": 1190,
    "Corrigan Center": 720,
    "Garner Institution": 560,
    "Hartford Center": 880,
    "MacDougall Institution": 1470,
    "Manson Youth Institution": 290,
    "New Haven Center": 700,
    "Osborn Institution": 1150,
    "Robinson Institution": 1230,
    "Willard Institution": 470,
    "York Institution": 760,
}
_SHORE_LONGITUDE_WEST, _SHORE_LONGITUDE_EAST = -73.65, -71.87
_SALES_REPORTED_UNTIL = date(2025, 9, 30)
"""Towns report their sales for the year up to the end of September."""


def expenditures_ledger(rng: Random) -> Iterator[Row]:
    """Weekdays only, as accounts are booked; salaries come every second Friday."""
    entry = 0
    agencies = [agency.name for agency in sample_agencies() if agency.parent == "State of Connecticut"]
    for day in days(92):
        if day.weekday() >= 5:
            continue
        is_payday = day.weekday() == 4 and day.isocalendar().week % 2 == 0
        for agency in agencies:
            category, typical_usd = rng.choice(_EXPENSES[1:])
            if is_payday:
                category, typical_usd = _EXPENSES[0]
            payments = 1 + count_around(rng, 14)
            fiscal_year = day.year + (day.month >= 7)
            amount_usd = round(typical_usd * rng.lognormvariate(0, 0.6), 2)
            entry += 1
            yield entry, day, fiscal_year, agency, category, payments, amount_usd


def supplier_certifications(rng: Random) -> Iterator[Row]:
    """Certificates by town; about one in seven ends within a quarter."""
    for town in sample_towns():
        for certification, per_100 in _CERTIFICATIONS:
            active = count_around(rng, town.population / 100 * per_100)
            yield DATA_ENDS_ON, town.name, certification, active, part_of(rng, active, 0.14)


def heating_oil_prices(rng: Random) -> Iterator[Row]:
    """Prices drift from week to week and are dearest in February."""
    drift_usd = 3.6
    for week_ending in days(104, step=7):
        drift_usd = min(4.6, max(2.9, drift_usd + rng.uniform(-0.07, 0.07)))
        for index, region in enumerate(_HEATING_REGIONS):
            average_usd = drift_usd * season(week_ending, 2, 0.06) + 0.03 * index
            yield (
                week_ending,
                region,
                8 + count_around(rng, 5),
                round(average_usd, 2),
                round(average_usd - rng.uniform(0.12, 0.35), 2),
                round(average_usd + rng.uniform(0.12, 0.45), 2),
            )


def coastal_flood_extent(rng: Random) -> Iterator[Row]:
    """Higher seas and rarer storms flood more; the polygon is a simplified frame on the shore."""
    for town in _shoreline():
        exposure = rng.uniform(60, 420)
        longitude, latitude = _shore_point(town)
        for rise_inches in _SEA_LEVEL_RISE_INCHES:
            for return_years in _STORM_RETURN_YEARS:
                reach = (1 + rise_inches / 12) * (1 + return_years / 60)
                acres = round(exposure * reach, 1)
                size = 0.004 + 0.001 * reach
                yield (
                    town.name,
                    rise_inches,
                    return_years,
                    acres,
                    count_around(rng, acres * 0.42),
                    round(acres * 0.011, 2),
                    _frame_wkt(longitude, latitude, size),
                )


def generator_hookups(rng: Random) -> Iterator[Row]:
    """Two rounds of inspections; hookups became more common between them."""
    for town in sample_towns():
        stations = count_around(rng, town.population / 2600)
        for year, share in ((2023, 0.28), (2024, 0.36)):
            hookups = part_of(rng, stations, share)
            yield year, town.name, stations, hookups, part_of(rng, hookups, 0.45)


def adt_counts(rng: Random) -> Iterator[Row]:
    """Stations along the routes of each town; a third of them is counted each year."""
    station = 1000
    for town in sample_towns():
        for _ in range(4 + min(6, town.population // 20_000)):
            station += 1
            route = rng.choice((1, 2, 5, 6, 7, 8, 9, 15, 44, 67, 69, 80, 84, 91, 95, 156, 202))
            busy = 9.0 if route in {84, 91, 95} else 1.0
            traffic = round(busy * near(rng, 2500 + town.population**0.72, 0.5), -2)
            year = DATA_ENDS_ON.year - station % 3
            milepost = round(rng.uniform(0.1, 98.0), 2)
            truck_share = round(rng.uniform(2, 6) + busy, 1)
            yield year, station, route, town.name, milepost, int(traffic), truck_share


def traffic_stops(rng: Random) -> Iterator[Row]:
    """Search rates differ by group on purpose: the difference is what a bias assessment looks for."""
    for town in sample_towns():
        if town.population < 9_000:
            continue
        for year in (2024, 2025):
            for group, group_share, search_share in _DRIVER_GROUPS:
                for reason, reason_share in _STOP_REASONS:
                    stops = count_around(rng, town.population * 0.11 * group_share * reason_share)
                    yield (
                        year,
                        f"{town.name} Police Department",
                        group,
                        reason,
                        stops,
                        part_of(rng, stops, 0.61),
                        part_of(rng, stops, search_share),
                        part_of(rng, stops, 0.55),
                    )


def licenses_by_type(rng: Random) -> Iterator[Row]:
    """Most licenses are active; renewals come in waves in spring."""
    for category, names in _LICENSE_TYPES.items():
        for name in names.split("|"):
            active = rng.uniform(120, 9_000)
            for month in months(12):
                active *= rng.uniform(0.995, 1.008)
                issued = count_around(rng, active * 0.006)
                renewed = count_around(rng, active * 0.08 * season(month, 4, 0.7))
                yield month, name, category, "Active", round(active), issued, renewed
                yield month, name, category, "Inactive", round(active * 0.17), 0, 0
                yield month, name, category, "Lapsed", round(active * 0.09), 0, 0


def business_registry(rng: Random) -> Iterator[Row]:
    """More businesses are formed than dissolved; the register grows month by month."""
    for town in sample_towns():
        for legal_form, per_1000 in _LEGAL_FORMS:
            active = count_around(rng, town.population / 1000 * per_1000)
            for month in months(3):
                formed, dissolved = count_around(rng, active * 0.012), part_of(rng, active, 0.006)
                active += formed - dissolved
                yield month, town.name, legal_form, active, formed, dissolved


def business_assistance(rng: Random) -> Iterator[Row]:
    """Quarters, programmes and counties; some quarters pass without a contract."""
    for year in range(DATA_ENDS_ON.year - 3, DATA_ENDS_ON.year + 1):
        for quarter_month in (1, 4, 7, 10):
            for program in _ASSISTANCE_PROGRAMS:
                for county in _COUNTY_CENTRES:
                    companies = count_around(rng, 4)
                    promised = count_around(rng, companies * 11)
                    yield (
                        date(year, quarter_month, 1),
                        program,
                        county,
                        companies,
                        round(companies * near(rng, 140_000, 0.5), 2),
                        round(companies * near(rng, 55_000, 0.5), 2),
                        promised,
                        part_of(rng, promised, 0.86),
                    )


def tax_credits(rng: Random) -> Iterator[Row]:
    """Few returns claim a credit; the amounts are large in manufacturing and finance."""
    for fiscal_year in range(2020, 2025):
        for code, sector in _SECTORS.items():
            weight = 6.0 if code in {"31-33", "52", "51"} else 1.0
            for credit in _CREDITS:
                returns = count_around(rng, 9 * weight)
                yield fiscal_year, code, sector, credit, returns, round(returns * near(rng, 41_000, 0.6), 2)


def parcels(rng: Random) -> Iterator[Row]:
    """Parcels by use; the points lie near the middle of the town's county."""
    for town in sample_towns():
        latitude, longitude = _COUNTY_CENTRES[town.county]
        for land_use, per_resident, acres_each, value_usd in _LAND_USES:
            count = count_around(rng, town.population * per_resident)
            yield (
                DATA_ENDS_ON.year,
                town.name,
                land_use,
                count,
                round(count * near(rng, acres_each, 0.3), 1),
                int(round(count * near(rng, value_usd, 0.35), -2)),
                round(latitude + rng.uniform(-0.12, 0.12), 5),
                round(longitude + rng.uniform(-0.15, 0.15), 5),
            )


def real_estate_sales(rng: Random) -> Iterator[Row]:
    """Sales peak in July; the price is blank when no home was sold."""
    for town in sample_towns():
        price_usd = rng.uniform(210_000, 690_000)
        for month in months(12, until=_SALES_REPORTED_UNTIL):
            sales = count_around(rng, town.population / 1000 * 1.25 * season(month, 7, 0.35))
            homes = part_of(rng, sales, 0.84)
            median_usd = int(round(near(rng, price_usd, 0.12), -2)) if homes else None
            ratio = round(near(rng, 0.58, 0.1), 3) if homes else None
            yield month, town.name, sales, homes, median_usd, ratio


def assisted_housing(rng: Random) -> Iterator[Row]:
    """Assisted homes by town and year; cities hold a larger share."""
    for town in sample_towns():
        units = round(near(rng, town.population * 0.42, 0.05))
        share = rng.uniform(0.01, 0.05) + min(0.12, town.population / 900_000)
        for year in range(DATA_ENDS_ON.year - 9, DATA_ENDS_ON.year + 1):
            assisted = part_of(rng, units, share)
            vouchers, restricted = part_of(rng, units, share * 0.3), part_of(rng, units, share * 0.12)
            percent = rate(assisted + vouchers + restricted, units, digits=2)
            yield year, town.name, units, assisted, vouchers, restricted, percent


def correctional_population(rng: Random) -> Iterator[Row]:
    """A count for every facility on every day, without a gap, so that the daily cadence can be learnt."""
    held = {facility: float(capacity) for facility, capacity in _FACILITIES.items()}
    for day in days(184):
        for facility, capacity in _FACILITIES.items():
            held[facility] += rng.gauss(0, 3) + (capacity - held[facility]) * 0.05
            population = round(held[facility])
            sentenced = part_of(rng, population, 0.66)
            yield day, facility, population, sentenced, population - sentenced


def census_2010(rng: Random) -> Iterator[Row]:
    """One row per town, in the shape of the census tables; the counts are made up near the towns' sizes."""
    for town in sample_towns():
        population = round(near(rng, town.population * 0.99, 0.03))
        units = round(population * near(rng, 0.415, 0.04))
        occupied = part_of(rng, units, 0.92)
        yield town.name, town.county, population, units, occupied, units - occupied


def naloxone_pharmacists(_rng: Random) -> Iterator[Row]:
    """No rows: they were removed before the dataset's retirement; the header is all that is left."""
    return iter(())


def _shoreline() -> list[SampleTown]:
    return sorted(
        (town for town in sample_towns() if town.shore_order is not None), key=lambda t: t.shore_order or 0
    )


def _shore_point(town: SampleTown) -> tuple[float, float]:
    """Longitude and latitude of a point on the shore, laid out evenly from west to east."""
    step = ((town.shore_order or 1) - 1) / (len(_shoreline()) - 1)
    longitude = _SHORE_LONGITUDE_WEST + step * (_SHORE_LONGITUDE_EAST - _SHORE_LONGITUDE_WEST)
    return round(longitude, 4), round(41.02 + min(0.3, step * 0.55), 4)


def _frame_wkt(longitude: float, latitude: float, size: float) -> str:
    west, east = longitude - size, longitude + size
    south, north = latitude - size / 2, latitude + size / 2
    corners = ((west, south), (east, south), (east, north), (west, north), (west, south))
    return "POLYGON ((" + ", ".join(f"{x:.5f} {y:.5f}" for x, y in corners) + "))"


PLACE_RECIPES: Mapping[str, Recipe] = {
    "open-expenditures-ledger": expenditures_ledger,
    "supplier-diversity-certifications": supplier_certifications,
    "heating-oil-regional-retail-prices": heating_oil_prices,
    "sea-level-rise-and-coastal-flood-extent": coastal_flood_extent,
    "gasoline-stations-with-generator-hookups": generator_hookups,
    "adt-counts-state-road-network": adt_counts,
    "traffic-stop-data-by-department": traffic_stops,
    "state-licenses-and-credentials-by-type": licenses_by_type,
    "business-registry-counts-by-town": business_registry,
    "business-assistance-portfolio": business_assistance,
    "tax-credits-by-industry-sector": tax_credits,
    "statewide-parcels-and-cama": parcels,
    "real-estate-sales-by-town": real_estate_sales,
    "government-assisted-housing-units-by-town": assisted_housing,
    "correctional-facility-daily-population": correctional_population,
    "2010-census-population-and-housing-units-by-town": census_2010,
    "naloxone-prescribing-pharmacists": naloxone_pharmacists,
}
