"""StyleGAN2: a latent space that was learned, and styles that scale weights (Karras et al. 2020).

T. Karras, S. Laine, M. Aittala, J. Hellsten, J. Lehtinen, T. Aila, "Analyzing and Improving the
Image Quality of StyleGAN", CVPR 2020; the mapping network, mixing and truncation are from T.
Karras, S. Laine, T. Aila, "A Style-Based Generator Architecture for Generative Adversarial
Networks", CVPR 2019 (below: 2019).

| here | source |
|---|---|
| `layers.modulated_convolution` | 2020, equations 1 to 3 |
| `networks.MappingNetwork` | 2019, section 2; rates of learning from appendix C |
| `networks.SynthesisNetwork` | 2020, figures 2 and 7: skip generator |
| `networks.Discriminator` | 2020, figure 7: residual discriminator |
| `training.Game` | 2020, section 3.1 (lazy), equation 4 (path length), appendix B |
| `generator.truncate`, `StyleGAN2.mix` | 2019, appendix B and section 3.1 |

`public` reads checkpoints that others published, `distillation` copies a generator into this shape.

Where this is not the paper: path length's running mean is that of the steps before, and the mean w
is measured once, from latents of a fixed seed, instead of followed while training.
"""
