from __future__ import annotations

import time
from collections.abc import Callable
from functools import partial

import pytest

from models_app.rights import EVERYTHING, Rights, bounds_of
from proxy_app.access_errors import LimitReached
from proxy_app.keys import Allowance, Caller
from proxy_app.limit_book import LimitBook, enter
from proxy_app.limit_headers import headers_in, lines_of
from proxy_app.limits import Limits, Spent, day_end, end, month_end, take_back
from proxy_app.reach import place_in_queue
from proxy_app.records import Line, Record, line_of

PERSON = 7


def caller(
    key: int | None = 1,
    limits: Limits | None = None,
    own: Limits | None = None,
    used: int = 0,
) -> Caller:
    """A key's caller, and how many tokens the database knows that were used today."""
    now = time.time()
    spent = (Spent(used, day_end(now)), Spent(used, month_end(now)))
    allowance = None if own is None else Allowance(own, spent)
    rights = Rights(PERSON, "ann", EVERYTHING, key_id=key or 0)
    return Caller("laptop", key, rights, limits, spent, allowance, shares_place=True)


def ended(key: int, tokens: int) -> Line:
    record = Record(1, "/v1/completions", "fox", "fox", "127.0.0.1")
    record.key_id, record.person_id = key, PERSON
    record.piece(b'{"usage":{"prompt_tokens":0,"completion_tokens":%d}}' % tokens)
    return line_of(record)


def ask(book: LimitBook, who: Caller, wanted: int = 0) -> Callable[[], None]:
    """Begin a request; what is given back ends it."""
    accounts = book.accounts_of(who)
    enter(accounts, wanted)
    return partial(end, accounts, wanted)


def told(book: LimitBook, who: Caller) -> dict[bytes, bytes]:
    """The headers that an answer has."""
    return dict(headers_in(lines_of(book.accounts_of(who))))


def test_a_persons_limits_bind_all_their_keys_together_and_them_signed_in() -> None:
    book, own = LimitBook(), Limits(requests_per_minute=2)
    ask(book, caller(1, own=own))
    ask(book, caller(2, own=own))
    for key in (1, 2, 3, None):
        with pytest.raises(LimitReached, match="2 requests a minute"):
            ask(book, caller(key, own=own))


def test_a_persons_tokens_are_those_of_all_their_keys() -> None:
    book, own = LimitBook(), Limits(tokens_per_day=100)
    ask(book, caller(1, own=own))()
    book.charge([ended(1, 60), ended(2, 50)])
    with pytest.raises(LimitReached, match="100 tokens a day is reached"):
        ask(book, caller(3, own=own))


def test_who_is_refused_by_one_account_uses_nothing_of_the_other() -> None:
    book, both = LimitBook(), caller(1, Limits(requests_per_minute=5), Limits(parallel=1))
    end_it = ask(book, both)
    for _ in range(9):
        with pytest.raises(LimitReached, match="1 requests at a time"):
            ask(book, both)
    end_it()
    headers = told(book, both)
    assert headers[b"x-ratelimit-remaining-requests"] == b"4"


def test_headers_tell_of_whichever_has_the_least_left() -> None:
    book, own = LimitBook(), Limits(tokens_per_day=50)
    headers = told(book, caller(1, Limits(tokens_per_day=900), own))
    assert headers[b"x-ratelimit-limit-tokens"] == b"50"


def test_of_two_that_have_nothing_left_the_keys_limit_is_told() -> None:
    book, own = LimitBook(), Limits(tokens_per_day=1000)
    who = caller(1, Limits(tokens_per_day=10), own)
    book.accounts_of(who)
    book.charge([ended(1, 5000)])
    assert told(book, who)[b"x-ratelimit-limit-tokens"] == b"10"


def test_many_requests_at_once_use_a_quota_once() -> None:
    """What is reserved is given back when the request is charged, not before."""
    book, who = LimitBook(), caller(1, Limits(tokens_per_day=100))
    first = ask(book, who, 80)
    second = ask(book, who, 80)
    with pytest.raises(LimitReached, match="100 tokens a day might be passed") as refused:
        ask(book, who, 80)
    assert refused.value.retry_after == 1
    first()
    with pytest.raises(LimitReached):
        ask(book, who, 80)
    book.charge([ended(1, 5)])
    third = ask(book, who, 80)
    second()
    third()
    book.charge([ended(1, 5), ended(1, 5)])
    (account,) = book.accounts_of(who)
    assert (account.running, account.reserved, account.day_tokens) == (0, 0, 15)


def test_what_did_not_begin_left_no_trace() -> None:
    book, who = LimitBook(), caller(1, Limits(2, 1000, 1000, 1000, 1))
    (account,) = book.accounts_of(who)
    ask(book, who, 10)()
    book.charge([ended(1, 0)])
    before = account.requests_full
    accounts = book.accounts_of(who)
    enter(accounts, 80)
    take_back(accounts, 80)
    assert account.requests_full == pytest.approx(before, abs=0.1)
    assert (account.running, account.reserved, account.day_tokens) == (0, 0, 0)
    ask(book, who, 10)


@pytest.mark.parametrize("limit", ["requests_per_minute", "tokens_per_minute", "tokens_per_day"])
def test_what_no_engine_can_have_used_keeps_nobody_from_being_charged(limit: str) -> None:
    book, one, other = LimitBook(), caller(1, Limits(**{limit: 5})), caller(2, Limits(parallel=1))
    ask(book, one)
    ask(book, other, 80)()
    book.charge([ended(1, 10**400), ended(2, 3)])
    (account,) = book.accounts_of(other)
    assert account.reserved == 0


def test_a_quota_that_comes_again_counts_the_whole_day() -> None:
    book, quota = LimitBook(), Limits(tokens_per_day=100)
    ask(book, caller(1, quota))()
    book.charge([ended(1, 30)])
    ask(book, caller(1, Limits(parallel=9), used=30))()
    book.charge([ended(1, 50)])
    (account,) = book.accounts_of(caller(1, Limits(tokens_per_day=100), used=80))
    assert account.day_tokens == 80
    book.charge([ended(1, 25)])
    # The database may not have the newest yet.
    (account,) = book.accounts_of(caller(1, Limits(tokens_per_day=99), used=80))
    assert account.day_tokens == 105


def test_keys_that_are_read_anew_with_the_same_limits_count_on_as_they_did() -> None:
    """Reading them costs nothing then, however many there are."""
    book = LimitBook()
    ask(book, caller(1, Limits(tokens_per_day=100), used=10))()
    book.charge([ended(1, 30)])
    again = Limits(tokens_per_day=100)
    (account,) = book.accounts_of(caller(1, again, used=90))
    assert account.day_tokens == 40
    assert account.limits is again


def test_keys_that_people_make_for_themselves_take_one_turn() -> None:
    book = LimitBook()
    assert place_in_queue(caller(1), ()) == place_in_queue(caller(2), ()) == ("person 7", None)
    given = caller(3, Limits(share=2, priority=5), own=Limits(parallel=9))
    turns = {place_in_queue(given, book.accounts_of(given)) for _ in range(4)}
    assert turns == {("key 3/0", 5), ("key 3/1", 5)}


def test_who_is_limited_twice_is_limited_by_both() -> None:
    rights = Rights(bounds=bounds_of(["fox", "sea"], []) + bounds_of([], ["small"]))
    assert rights.may_use("fox", "small")
    assert not rights.may_use("fox", "large") and not rights.may_use("owl", "small")
    assert Rights(bounds=bounds_of([], [])).may_use("fox")


def test_requests_made_while_they_were_not_limited_do_not_count_later() -> None:
    book = LimitBook()
    ask(book, caller(1, Limits(requests_per_minute=1)))
    for _ in range(50):
        ask(book, caller(1, Limits(parallel=100)))
    book.accounts_of(caller(1, Limits(requests_per_minute=1)))[0].requests_full -= 60
    ask(book, caller(1, Limits(requests_per_minute=1)))


def test_a_request_from_before_a_change_leaves_no_old_limit_behind() -> None:
    """Its body took long, and its key was looked up when it began."""
    book = LimitBook()
    before, after = (caller(1, Limits(requests_per_minute=many)) for many in (1000, 2))
    ask(book, after)
    ask(book, before)
    ask(book, after)
    with pytest.raises(LimitReached, match="2 requests a minute"):
        ask(book, after)
