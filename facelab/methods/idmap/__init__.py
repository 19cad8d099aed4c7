"""Identity from one face, everything else from another, by a map into a generator's latent space.

Y. Nitzan, A. Bermano, Y. Li, D. Cohen-Or, "Face Identity Disentanglement via Latent Space Mapping",
ACM Transactions on Graphics 39 (6), 2020.

| paper | here |
|---|---|
| equation 1, z = [E_id, E_attr]; section 3.1: the networks | `networks`, `model.IdentityMap` |
| equation 2: D_W, with R1 | `training.Game.critic_terms` |
| equation 3: M against D_W | `training.Game.adversarial_terms` |
| equation 4, identity | `losses.identity_loss` |
| equation 5, landmarks | `losses.landmark_loss` |
| equation 6, the "mix" of MS-SSIM and L1 | `losses.mix_loss` |
| equations 7 and 8, and the schedule of section 3.3 | `training.Game.other_terms`, `is_cross` |
| section 3.2: a training set from the generator itself | `data.latents` |
| section 3.3: rates and weights | `config` |
| tables 1 and 2 | `evaluation`, `metrics.combination` |
| figure 9 | `latent_space` |
| figures 11, 12, 16 and 17: interpolation; appendix A: sequences | `applications` |
| baselines | `optimisation`, `lord`, `evaluation.copy_identity`, `evaluation.copy_attributes` |

Where this is not the paper, and why:

- *Which weight is whose.* Equation 8 has three weights and section 3.3 four numbers, 1, 1, 0.001
  and 0.02. As in the authors' code they are those of the adversarial step, identity, landmarks and
  reconstruction, with landmarks as a mean square in pixels of a picture of 256.
- *51 landmarks.* The paper says 52 without the jaw; of 68 there are 17 on it, so 51 are left.
- *Who moves in the adversarial step*: M alone. "paper" text leaves it open (`adversarial_moves`).
- *E_id's code* is brought to length sqrt(features), so that equation 4 as a mean over features
  means the same for every recogniser, and the code has the size of what E_attr gives.
- *The generator is the book's default, a DCGAN.* It has no W: its latent space is N(0, 1) itself,
  so what D_W learns to tell can be checked against a closed form. StyleGAN2's W is a setting.
- *BOOK is small, for a CPU*: 64 pixels, dlib's recogniser for the ResNet-50 trained on VGGFace2, a
  small residual E_attr for InceptionV3, learning rates and weights for some thousand steps.
"""
