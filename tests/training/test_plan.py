"""Which rows are trained on, and how many people they show."""

import numpy as np
import pytest

from jreid.errors import InputError
from jreid.training.plan import count_identities, plan_training


def test_identities_are_counted_where_the_config_says_none(tiny_config, tiny_dataset):
    people = tiny_config.data.identities
    assert count_identities(tiny_config, tiny_dataset) is tiny_config
    tiny_config.data.identities = 0
    assert count_identities(tiny_config, tiny_dataset).data.identities == people
    assert tiny_config.data.identities == 0
    tiny_config.data.train_splits = ("train", "validation")
    both = np.isin(tiny_dataset.table.split, tiny_config.data.train_splits)
    counted = count_identities(tiny_config, tiny_dataset)
    assert counted.data.identities == len(np.unique(tiny_dataset.table.identity[both])) > people
    assert len(plan_training(counted, tiny_dataset)[0].name) == both.sum()


def test_another_number_than_is_counted_is_refused(tiny_config, tiny_dataset):
    tiny_config.data.identities = 9
    with pytest.raises(InputError, match=r"identities is 9, .* holds 8 in train"):
        plan_training(tiny_config, tiny_dataset)


def test_nobody_to_train_on_is_refused(tiny_config, tiny_dataset):
    table = tiny_dataset.table.of_split("test")
    tiny_config.data.identities = 0
    dataset = tiny_dataset._replace(table=table)
    counted = count_identities(tiny_config, dataset)
    with pytest.raises(InputError, match=r"no images to train on.* train"):
        plan_training(counted, dataset)
