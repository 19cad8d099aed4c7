"""The five methods on the same held-out faces, judged by the same networks.

Five papers measure five things on five sets of faces. Here is one set, of people whom no training
has, one framing, and one table for each of two tasks:

| method | same person, changed attribute; its knob | other person, same attributes; its knob |
|---|---|---|
| `ganid` | a person searched, then edited; the edit's strength | no: only identity is searched |
| `ganfaces` | the head with another mouth, then G; how far it moves | the other's head; none |
| `diat` | T, then E; the share of the change | no: it keeps the person |
| `idmap` | another's attributes, all of them; the share of E_attr's code | the share of E_id's |
| `d2ae` | f_P moved to the attribute; the strength of section 4.3 | the share of the other's f_T |

A strength of 1 is each method's own answer; a table's row is made with it. What a method can't do
is an empty cell with a reason.

The methods don't see the same. `ganfaces` makes a picture of a head, so it is told the head that
the face was drawn of, and needs faces that were drawn; the others see pixels. `idmap` can't change
one attribute alone: it takes all of another face's, pose and light too.

Beside them stand rows that are no method: the input as it is ("copy"), in the other task also the
other person's picture ("copy of the other person"), a face of somebody else ("random"), and, of
faces that were drawn, the answer itself, drawn ("drawn").

| here | what |
|---|---|
| `cases` | the tasks, and which faces they are given |
| `contestants` | how each method is asked |
| `baselines` | the rows that are no method |
| `costs` | parameters, and what a training took |
| `judging` | the judges, and the values of each result |
| `measure` | rows, curves, the table |
| `session` | all of it from one order |
| `report` | the table as text, and the curves as a figure |
"""
