"""The cohort definition: the rule as typed objects, checked once at the door (docs/api.md, "Cohort definition").

`values.py` has the limits and the scalar types, `windows.py`, `properties.py` and `events.py` the parts, `model.py` the
whole, `refusals.py` the sentences about what is wrong with it. `cohorts/compile/` turns a definition into SQL.
"""

from cohorts.definition.events import ANY_EVENT, CountMeasure, EventCondition, Filters, Measure, PropertyMeasure
from cohorts.definition.model import Condition, Definition, Group, parse_definition
from cohorts.definition.properties import (
    BooleanCondition,
    DateCondition,
    ListCondition,
    NearDateCondition,
    NumberCondition,
    PropertyCondition,
    StringCondition,
)
from cohorts.definition.refusals import FieldError, InvalidDefinition
from cohorts.definition.windows import AllTime, Fixed, Last, Period, Since, Window

__all__ = [
    "ANY_EVENT",
    "AllTime",
    "BooleanCondition",
    "Condition",
    "CountMeasure",
    "DateCondition",
    "Definition",
    "EventCondition",
    "FieldError",
    "Filters",
    "Fixed",
    "Group",
    "InvalidDefinition",
    "Last",
    "ListCondition",
    "Measure",
    "NearDateCondition",
    "NumberCondition",
    "Period",
    "PropertyCondition",
    "PropertyMeasure",
    "Since",
    "StringCondition",
    "Window",
    "parse_definition",
]
