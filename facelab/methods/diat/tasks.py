"""What DIAT is asked to do: five tasks, each an attribute to gain or to lose.

A task that is local has a mask, outside of which nothing should change; a global one has none.
Source: Li et al. 2016, sections 5.2 and 5.3.
"""

from dataclasses import dataclass

from facelab.errors import ParameterError


@dataclass(frozen=True)
class Task:
    """An attribute that a face shall have (`to` is True) or lose.

    `attribute` is a name of CelebA's, as `data.attributes` has them; `mask` is one of `data.masks`,
    or None for a global task. `paper` says where the paper shows it.
    """

    name: str
    title: str
    attribute: str
    to: bool
    mask: str | None
    paper: str

    @property
    def local(self) -> bool:
        """Whether most of the face shall stay as it is."""
        return self.mask is not None


TASKS = {
    task.name: task
    for task in (
        Task("mouth_open", "open the mouth", "Mouth_Slightly_Open", True, "mouth", "Fig. 4 (b)"),
        Task("mouth_close", "close the mouth", "Mouth_Slightly_Open", False, "mouth", "Fig. 4 (c)"),
        Task("glasses_removal", "take the glasses off", "Eyeglasses", False, "eyeglasses",
             "Fig. 4 (a)"),
        Task("older_to_younger", "make younger", "Young", True, None, "Fig. 5 (b)"),
        Task("male_to_female", "make female", "Male", False, None, "Fig. 5 (a)"),
    )
}  # fmt: skip


def find_task(name: str) -> Task:
    """Return the task called `name`. Raises `ParameterError` when there is none."""
    if name not in TASKS:
        raise ParameterError(f"there is no task {name!r}; choose one of: {', '.join(TASKS)}")
    return TASKS[name]
