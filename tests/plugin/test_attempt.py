"""Tests of what is known of one attempt at a test."""

from __future__ import annotations

from pytest_codex_workspace.plugin.attempt import attempt_of, begin_attempt


def test_another_attempt_starts_afresh(pytester):
    """
    Only their number is remembered.
    """
    item = pytester.getitem("def test_func(): pass")
    begin_attempt(item)
    first = attempt_of(item)
    first.failed = True
    first.seen["container"] = None

    begin_attempt(item)
    second = attempt_of(item)

    assert (1, 2) == (first.number, second.number)
    assert (False, {}) == (second.failed, second.seen)
    assert second is attempt_of(item)


def test_workspaces_are_forgotten_with_their_test(pytester):
    """
    Not before its last phase is reported. A session of many tests does not grow with them.
    """
    pytester.makeconftest(
        """
        import pytest
        from pytest_codex_workspace.plugin.attempt import attempt_of
        items = []
        @pytest.hookimpl(wrapper=True)
        def pytest_runtest_makereport(item, call):
            attempt_of(item).workspaces.append(call.when)
            items.append(item)
            print(call.when, attempt_of(item).workspaces)
            return (yield)
        def pytest_sessionfinish():
            print("left", [attempt_of(item).workspaces for item in items])
        """
    )
    pytester.makepyfile("def test_passes(): pass")

    result = pytester.runpytest("-s")

    shown = result.stdout.str()
    assert "teardown ['setup', 'call', 'teardown']" in shown
    assert "left [[], [], []]" in shown


def test_how_a_test_ended_is_known_in_its_teardown(pytester):
    """
    What is done with its workspaces depends on that.
    """
    pytester.makeconftest(
        """
        from pytest_codex_workspace.plugin.attempt import attempt_of
        def pytest_runtest_teardown(item):
            print(item.name, attempt_of(item).failed, attempt_of(item).skipped)
        """
    )
    pytester.makepyfile(
        """
        import pytest
        def test_passes(): pass
        def test_fails(): assert 0
        def test_skips(): pytest.skip()
        """
    )

    result = pytester.runpytest("-s")

    result.stdout.fnmatch_lines_random(
        ["*test_passes False False", "*test_fails True False", "*test_skips False True"]
    )


def test_a_fixture_that_fails_at_its_end_is_known_before_those_below_it_end(pytester):
    """
    However it ends, and not if it ends well or skips.
    """
    pytester.makepyfile(
        """
        import pytest
        from pytest_codex_workspace.plugin.attempt import attempt_of

        @pytest.fixture
        def below(request):
            yield
            print(request.node.name, "has failed:", attempt_of(request.node).failed)

        def ends_by(how):
            @pytest.fixture
            def fixture(below, request):
                request.addfinalizer(lambda: None)
                yield
                how()
            return fixture

        well = ends_by(lambda: None)
        by_an_error = ends_by(lambda: [].pop())
        by_failing = ends_by(lambda: pytest.fail("no"))
        by_skipping = ends_by(pytest.skip)

        def test_well(well): pass
        def test_error(by_an_error): pass
        def test_failing(by_failing): pass
        def test_skipping(by_skipping): pass
        """
    )

    shown = pytester.runpytest_inprocess("-s", "-p", "no:randomly")

    shown.stdout.fnmatch_lines(
        [
            "*test_well has failed: False*",
            "*test_error has failed: True*",
            "*test_failing has failed: True*",
            "*test_skipping has failed: False*",
        ]
    )


def test_the_request_of_a_fixture_ends_with_it(pytester):
    """
    Without a run of the garbage collector, as without this plugin.
    """
    pytester.makepyfile(
        """
        import gc
        import weakref
        import pytest

        requests = []

        @pytest.fixture
        def fixture(request):
            requests.append(weakref.ref(request))
            gc.disable()
            yield

        def test_it(fixture): pass

        def test_next():
            gc.enable()
            assert [None] == [one() for one in requests]
        """
    )

    # In this process, pytester would keep it.
    pytester.runpytest_subprocess("-p", "no:randomly").assert_outcomes(passed=2)
