from average import mean, median


def test_mean_of_three_numbers():
    assert mean([1, 2, 6]) == 3


def test_median_of_three_numbers():
    assert median([9, 1, 5]) == 5


def test_median_of_four_numbers():
    assert median([1, 2, 4, 8]) == 3
