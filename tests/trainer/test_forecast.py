from small_trainings import small_job

from memorymark.gpus.catalogue import find_gpu
from memorymark.trainer.forecast import forecasts
from memorymark.workloads.trial_spec import TrialSpec


def test_each_card_says_whether_it_fits_how_long_and_for_how_much():
    job = small_job(4)
    spec = TrialSpec(job.workload, job.config, 4)
    t4, h100 = forecasts(spec, 1000, [find_gpu("t4"), find_gpu("h100-80gb")])
    assert t4.gpu == "t4" and t4.fits and h100.fits
    assert t4.seconds_low < t4.seconds < t4.seconds_high and t4.peak_reserved_bytes > 0
    assert h100.usd is not None and h100.usd > 0
    (endless,) = forecasts(spec, None, [find_gpu("t4")])
    assert endless.fits and endless.seconds is None and endless.usd is None
