from __future__ import annotations

from trionitro._multiplexer._linger import Habit


def disappoint(habit: Habit, times: int) -> None:
    for _ in range(times):
        habit.learn(paid=False)


def tries_in(habit: Habit, chances: int) -> int:
    return sum(habit.is_worth_it() for _ in range(chances))


def test_a_new_habit_is_worth_it() -> None:
    assert tries_in(Habit(), 100) == 100


def test_a_habit_that_does_not_pay_is_given_up() -> None:
    habit = Habit()

    disappoint(habit, 2)
    assert habit.is_worth_it()

    disappoint(habit, 1)
    assert not habit.is_worth_it()


def test_a_habit_that_was_given_up_is_tried_again_now_and_then() -> None:
    habit = Habit()
    disappoint(habit, 3)

    assert tries_in(habit, 64 * 5) == 5


def test_a_second_chance_that_pays_brings_it_back() -> None:
    habit = Habit()
    disappoint(habit, 100)

    habit.learn(paid=True)

    assert habit.is_worth_it()


def test_a_habit_that_has_always_paid_outlives_five_disappointments() -> None:
    habit = Habit()
    for _ in range(100):
        habit.learn(paid=True)

    disappoint(habit, 5)
    assert habit.is_worth_it()

    disappoint(habit, 1)
    assert not habit.is_worth_it()
