"""A face in two codes, who it is and all the rest, learnt from names alone.

Y. Liu, F. Wei, J. Shao, L. Sheng, J. Yan, X. Wang, "Exploring Disentangled Feature Representation
Beyond Face Identification", CVPR 2018.

| paper | here |
|---|---|
| equation 1; sections 3.1, 3.2 and 4.2: the networks | `networks` |
| equation 2, L_I and L_I^adv | `losses.identification_loss` |
| equation 3, L_H | `losses.dispelling_loss` |
| equation 4, L_X | `losses.reconstruction_loss` |
| section 3.4, equation 5: statistical augmentation | `spread.Spread`, `training.augmented` |
| equation 6, and which loss moves what (section 3.5, figure 3) | `training.Disentangling.terms` |
| section 4.2: rates and weights | `config` |
| section 4.3: f_C, identity exchanged | `model.Disentangler` |
| section 4.3: attributes edited, identity interpolated; figures 5b, 9 | `editing` |
| section 5.2, tables 1 and 2: what is left out | `variants` |
| figure 11: an adversarial loss | `training.Disentangling.critic_terms` |

What each loss moves, in one forward and one backward pass:

| loss | encoder | B_T | classifier of T | B_P | classifier of P | decoder |
|---|---|---|---|---|---|---|
| L_I | x | x | x | | | |
| L_I^adv | | | | | x | |
| L_H | x | | | x | | |
| L_X, and of augmented features | x | x | | x | | x |

Where this is not the paper, and why:

- *The sign of equation 3.* Minimised as printed, (1/N) sum log y drives y away from uniform without
  end. The text describes the cross-entropy to the uniform distribution, which is the opposite.
  "as-printed" in `dispelling` has the sign of the print; `readings` shows what becomes of it.
- *L_I moves its classifier too.* Section 3.1 says that it "only updates" B_T and the encoder, but
  nothing else would train W_T and b_T.
- *What sees augmented features.* "The loss functions aforementioned can be straightforwardly
  modified": both classifiers, and so L_I, L_I^adv and L_H, see them; L_X is taken of plain and of
  augmented features, as in equation 6.
- *The noise of equation 5 differs from channel to channel.* The printed epsilon has no index, but
  the text calls the perturbation "independent" in each channel. No gradient flows through sigma.
- *lambda_X goes with a sum over 235 x 235 pixels*: 1.81e-5 is 1 / 235^2. Here the sum is divided by
  height and width, so that a weight of 1 is the paper's at every size, for values in [-1, 1]; the
  paper does not give its range.
- *235 pixels can't come out of six doublings.* The decoder begins at 4 x 4 and the middle of its
  256 x 256 is cut out.
- *Figure 11's adversarial loss* is one beside L_X in the variant "gan"; the words, "switching" L_X
  to it, are "gan-alone": a critic that sees one picture can't ask for this face again. Its networks
  and rates are not in the paper; here, DCGAN's.
- *Faces lie on the template book64*, with eyes 31% of the width apart, and not 35%.
- *Not said in the paper*: the widths of branches and decoder, normalisation, SGD's momentum and its
  weight decay. Here convolutions have batch normalisation, and momentum is 0.9.
- *BOOK is small, for a CPU*: 64 pixels, a residual encoder, 2,400 people who do not exist.

The paper's MS-Celeb-1M was withdrawn by its publisher, and VGGFace2 and CASIA-WebFace are no longer
given out by theirs. AnnyFaces (`facelab.data`) has people who do not exist, with attributes.
"""
