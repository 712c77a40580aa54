"""The quality dimensions that Nutmeg speaks of, named as in ISO/IEC 25012."""

from typing import Literal

Dimension = Literal[
    "completeness",
    "currentness",
    "consistency",
    "accessibility",
    "understandability",
    "compliance",
]

DIMENSION_WORDS: dict[Dimension, str] = {
    "completeness": "Are the description and the cells filled in?",
    "currentness": "Is the data as fresh as promised?",
    "consistency": "Does the data agree with its data dictionary and with itself?",
    "accessibility": "Can the data be reached and read with common tools?",
    "understandability": "Can a stranger tell what the data means?",
    "compliance": "Does the record follow the rules: licence, contact, owner?",
}
