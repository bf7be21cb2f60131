// Marks the functions that kernels for accelerators use too. Only nvcc knows the words.
#pragma once

#ifdef __CUDACC__
#define TENDON_HD __host__ __device__
#else
#define TENDON_HD
#endif
