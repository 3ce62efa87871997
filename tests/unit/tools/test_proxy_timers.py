from bootc_orch.tools.proxy.timers import Patience, Timers

TIMERS = Timers(first_byte=90, stall=60, floor=1024)


def test_the_first_byte_has_a_limit_of_its_own():
    patience = Patience(TIMERS)
    assert patience.left() == 90
    patience.waited(89)
    assert patience.left() == 1
    patience.arrived(1)
    assert patience.left() == 60


def test_silence_ends_after_the_stall_time_however_much_came_before():
    patience = Patience(TIMERS)
    patience.arrived(10**9)
    patience.waited(59)
    assert patience.left() == 1
    patience.waited(1)
    assert patience.left() <= 0


def test_r11_a_trickle_is_too_slow():
    patience = Patience(TIMERS)
    patience.arrived(1)
    for _ in range(29):
        patience.waited(2)
        assert patience.left() > 0
        patience.arrived(1)
    patience.waited(2)
    assert patience.left() <= 0


def test_a_source_at_the_floor_goes_on():
    patience = Patience(TIMERS)
    patience.arrived(1024)
    for _ in range(1000):
        patience.waited(1)
        assert patience.left() > 0
        patience.arrived(1024)


def test_time_spent_elsewhere_does_not_count():
    patience = Patience(TIMERS)
    patience.arrived(1)
    assert patience.left() == 60
