"""Acts that are alike share what their operations do."""

from memorymark.simulator.act_works import ActWorks, Done
from memorymark.simulator.time.kernels import Work


def test_an_act_has_its_own_operations_or_those_of_the_act_that_it_is_like():
    works: list[Work] = []
    acts = ActWorks(works)
    acts.begin()
    works += [Work(()), Work(())]
    first = acts.current
    acts.end()
    acts.begin()
    works.append(Work(()))
    acts.current = later = Done(like=first)
    acts.end()
    acts.begin()
    works.append(Work(()))
    acts.end()
    listed = acts.listed()
    assert [len(each) for each in listed] == [2, 2, 1]
    assert listed[0] is listed[1] and later.itself() is first
