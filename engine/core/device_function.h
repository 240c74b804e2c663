// Functions of scalars that are written once for the CPU and for kernels on a GPU.
#pragma once

// Before the declaration of such a function. Only nvcc knows the two words; for every other compiler it is an ordinary function.
#if defined(__CUDACC__)
#define PLUMB_DEVICE __host__ __device__
#else
#define PLUMB_DEVICE
#endif
