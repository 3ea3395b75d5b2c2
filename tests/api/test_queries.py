"""Query parameters: numbers in every form that JSON has."""

import pytest
from multidict import MultiDict

from api.queries import QueryError, SearchQuery, parse_query


@pytest.mark.parametrize("text", ["0.44283081014072967", "2.220446049250313e-16", "1E-5", "-1", "0"])
def test_a_number_in_a_query_may_have_any_form(text: str) -> None:
    assert parse_query(MultiDict(threshold=text), SearchQuery).threshold == float(text)


@pytest.mark.parametrize("text", ["nan", "inf", "1e999", "0x1", "1_0", " 1", "", "1e"])
def test_what_is_no_number_of_the_range_is_refused(text: str) -> None:
    with pytest.raises(QueryError):
        parse_query(MultiDict(threshold=text), SearchQuery)
