"""What a card does in a second, held back by its power."""

from memorymark.gpus.catalogue import find_gpu, load_catalogue
from memorymark.simulator.time.calibration import CALIBRATION
from memorymark.simulator.time.speeds import speeds_of


def test_no_card_is_faster_than_its_peaks_and_the_clock_of_games_allow():
    for gpu in load_catalogue().values():
        found = speeds_of(gpu, CALIBRATION)
        fp32, fp16, bf16 = found.product_flops
        assert fp16 <= 1.1 * gpu.fp16_flops and fp32 <= 1.1 * gpu.fp32_flops
        assert bf16 == fp16 if gpu.bf16_flops else bf16 == fp32
        assert found.copies_fp32 == (gpu.tf32_flops is not None)


def test_tf32_is_for_convolutions_always_and_for_products_where_asked():
    a100 = find_gpu("a100-40gb")
    plain, tf32 = speeds_of(a100, CALIBRATION), speeds_of(a100, CALIBRATION, tf32=True)
    assert plain.product_flops[0] == a100.fp32_flops < plain.convolution_flops[0]
    assert tf32.product_flops[0] == plain.convolution_flops[0]


def test_a_card_of_little_power_is_held_back_and_an_unknown_generation_is_taken_as_an_older():
    l4, ada = find_gpu("l4"), find_gpu("rtx-4090")
    assert speeds_of(l4, CALIBRATION).product_flops[1] < 0.6 * l4.fp16_flops
    assert speeds_of(ada, CALIBRATION).product_flops[1] > ada.fp16_flops
    assert CALIBRATION.flops_per_joule((11, 0)) == CALIBRATION.flops_per_joule((10, 3))


def test_the_newest_geforce_cards_reach_less_of_their_peaks():
    gpu = find_gpu("rtx-5090")
    assert speeds_of(gpu, CALIBRATION).bandwidth_bytes < 0.95 * gpu.bandwidth_bytes_per_s
    assert CALIBRATION.reach((8, 9)) == CALIBRATION.reach((10, 0)) == 1.0


def test_a_gpu_whose_power_is_not_published_is_not_held_back_by_it():
    m4 = find_gpu("m4-16gb")
    assert speeds_of(m4, CALIBRATION).product_flops == (m4.fp32_flops,) * 3
