"""An attribute of a face changed in one pass, the person kept (Li et al. 2016).

M. Li, W. Zuo, D. Zhang, "Deep Identity-aware Transfer of Facial Attributes", arXiv:1610.05586,
2016.

| paper | here |
|---|---|
| tables 1 and 2 | `networks.TransformNetwork`, `networks.Discriminator` |
| equations 1 and 12 | `losses.content_loss` |
| equations 2 and 13 | `losses.identity_loss`, `features`, `training.Game.transform_terms` |
| equation 3 | `losses.attribute_discriminator`, `losses.attribute_transform` |
| equations 4 and 5 | `regularisation.Reconstruction`, `regularisation.Denoising` |
| equation 6 | `losses.squared_error` of f(T(x)) and T(x), `training.Game.transform_terms` |
| equations 7 and 14, algorithm 1 | `training.Game` |
| equations 8 and 9 | `training.Game.copy_terms`, `training.Game.tell_terms` |
| section 3.2, masks | `data.masks`, `masks` |
| equation 10 | `losses.outside_loss`, `enhancement.Enhancement.local_terms` |
| equation 11 | `enhancement.Enhancement.global_terms` |
| section 5.1, the variants | `variants` |
| section 5.2, CNIA | `optimisation` |
| sections 5.2 and 5.3, the tasks | `tasks` |

Where this is not the paper, and why:

- *Equation 3 is the game of Goodfellow et al. 2014*, with T's part in its non-saturating form. As
  printed, [1 - log D(T(x))], it has no lower bound for D. Each reading is a setting.
- *Table 1's first deconvolution has an output padding*, without which 32 becomes 63.
- *T is normalised within each picture*, as its model (Johnson et al. 2016) is within a batch; the
  table has no such layers. *D's last layer is a logit*; both its losses take the probability of it.
- *D sees equation 3 alone.* Read literally, equations 7 and 14 let D maximise the identity loss.
- *The game's Adam has a first moment of 0.5*, as in Radford et al. 2016. The paper names none, and
  with the usual 0.9 T overshoots.
- *No VGG-Face.* Its weights may not be passed on; "dlib-stages" takes the fourth and fifth stage of
  the book's recogniser in place of its fourth and fifth convolution, and a reader who has the
  weights gives their file ("vgg-face").
- *Squared norms of pictures are means*, so that a weight means the same at any size. The paper's
  gamma of 0.001 weighs a sum (`variants.SMOOTH`).
- *BOOK is small, for a CPU*: 64 pixels, three residual blocks, some thousand steps. So T adds to
  its input and begins as a copy (`Shape.skip`), pre-training is D's alone, and rates are higher and
  halve late. Lambda is 2,000 (the paper's 0.1): its unit is that of D's maps, which are small here,
  and at 0.1 the term's slope is nothing beside the attribute's.
- *For a global task BOOK's D sees all faces through noise* (Sonderby et al. 2017), and lambda is
  100. A D that sees every pixel is pleased by patterns that nobody sees, and T paints them; in
  noise they drown.
- *The data are the book's own*: AnnyFaces and the faces of `ganfaces`, with exact labels, in place
  of CelebA, which comes through the same interface (`data.by_attribute`).
"""
