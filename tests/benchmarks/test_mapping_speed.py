from experiments.benchmarks.parts.mapping_speed import draw_photograph, measured


def test_a_map_is_timed_beside_its_model_on_as_many_tiles():
    photograph = draw_photograph(1)
    assert photograph.shape == (866, 1155, 3)
    found = measured("crack_net", 160, photograph, repeats=1)
    # Tiles of 227 pixels every 114: at 0, 114 … and the last at the end of the side.
    assert found["tiles"] == 7 * 10
    assert min(found["map_seconds"], found["model_seconds"], found["model_at_once_seconds"]) > 0
