"""Search a GAN for a face of the same identity, then edit it (Li & Luo 2017).

Z. Li, Y. Luo, "Generate Identity-Preserving Faces by Generative Adversarial Networks", arXiv
1706.03227, 2017.

| paper | here |
|---|---|
| section 3.2, the identity-similarity of a face and a target | `scoring.identity_distance` |
| section 4, five pictures of the target | `scoring.Target`, `targets.Person` |
| section 3.3 and figure 6, three properties of a generator | `properties` |
| Algorithm 1, lines 4-5: the random start | `bank.Bank` |
| Algorithm 1, line 8: coarse search | `greedy.coarse_candidates` |
| Algorithm 1, line 14: fine tuning | `greedy.fine_candidates`, `greedy.fine_candidates_printed` |
| section 2.2 and figures 2, 3, 7: vector arithmetic | `arithmetic` |
| section 3.5: any generator, any identity metric | `scoring.Scorer` |

Beside Algorithm 1 stand what it has to be measured against: random search, CMA-ES and gradient
descent (`search.STRATEGIES`). Nothing is trained here: generator and embedder are taken as they
are.

Where this is not the paper: the input is N(0, 1) where the generator was trained so, not the cube
[-1, 1]^200; FaceNet's place is taken by any embedder of the book; alpha, beta and a budget, which
Algorithm 1 does not set, are settings (`greedy.Config`).
"""
