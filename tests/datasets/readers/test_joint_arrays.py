"""Conversions of joints: units, projection, middle joints."""

from __future__ import annotations

import numpy as np

from pose2mesh.datasets.readers.joint_arrays import add_middle_joints, project_joints, to_metres


def test_the_unit_shows() -> None:
    person = np.array([[0.0, 0.0, 3.0], [0.3, 1.7, 3.2]])
    np.testing.assert_allclose(to_metres(person), person)
    np.testing.assert_allclose(to_metres(1000 * person), person)
    hand = 0.1 * person
    np.testing.assert_allclose(to_metres(1000 * hand), hand)


def test_projection() -> None:
    joints = np.array([[0.5, -0.25, 2.0], [1.0, 1.0, -1.0], [1.0, 1.0, 0.0]])
    np.testing.assert_allclose(project_joints(joints, [100, 200, 10, 20]), [[35, -5, 1], [0, 0, 0], [0, 0, 0]])


def test_middles() -> None:
    joints = np.zeros((17, 3))
    joints[[5, 6]] = [(10, 20, 0.5), (20, 40, 0.9)]
    joints[11] = (10, 20, 1)
    whole = add_middle_joints(joints)
    np.testing.assert_allclose(whole[18], [15, 30, 0.5])
    np.testing.assert_array_equal(whole[17], 0)
    np.testing.assert_array_equal(whole[:17], joints)
