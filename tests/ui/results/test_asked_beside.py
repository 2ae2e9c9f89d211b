"""What was asked beside the batch stands on the page of the analysis."""

from streamlit.testing.v1 import AppTest


def _page() -> None:
    from fakes import FakeProbe, FakeWorkload, simulated_target

    from memorymark.analysis.analyze import analyze_on
    from memorymark.records.analysis_options import AnalysisOptions
    from memorymark.records.config import TrainingConfig
    from memorymark.ui.results.asked_beside import draw_effective_batch, draw_lengths

    asked = AnalysisOptions(effective_batch_size=1000, lengths="64:9,512:1", price_per_hour=2.0)
    for options in (asked, AnalysisOptions()):
        probe = FakeProbe(target=simulated_target())
        analysis = analyze_on(probe, FakeWorkload(), TrainingConfig(), options)
        draw_effective_batch(analysis)
        draw_lengths(analysis)


def test_splits_and_batches_by_length_are_tables_with_their_sentences():
    page = AppTest.from_function(_page).run(timeout=30)
    assert not page.exception
    assert [each.value for each in page.subheader] == ["Effective batch", "Lengths"]
    splits, batches = (each.value for each in page.dataframe)
    assert list(splits["At the"]) == ["recommended batch", "largest batch"]
    assert splits["Micro-batch"].dtype.kind in "iu"
    assert set(batches["Batches"]) == {"shuffled", "by length", "token budget"}
    said = [each.value for each in page.caption]
    assert "Goyal et al. 2017" in said[0] and "Figures are simulated." in said[0]
    assert "Lengths: mean 108.8, longest 512 tokens" in said[1]
