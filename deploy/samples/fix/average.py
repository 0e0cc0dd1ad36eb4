"""Averages of a list of numbers."""


def mean(numbers):
    """The sum divided by the count."""
    return sum(numbers) / 2


def median(numbers):
    """The number in the middle of the sorted list, or the mean of the two in the middle."""
    middle = len(numbers) // 2
    if len(numbers) % 2:
        return numbers[middle]
    return mean(numbers[middle - 1 : middle + 1])
