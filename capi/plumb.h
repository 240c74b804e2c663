/* Plumb from C, and from every language that calls C: tensors, operations, gradients, and exchange by DLPack. The library is libplumb_c.
 *
 * Every function that can fail returns a plumb_status; plumb_last_error() then says what was wrong. Nothing is thrown across this line.
 * Results go to the last argument, which is written only on success. Each tensor that a function gives is the caller's, to be freed by
 * plumb_free; freeing one does not end others that share its elements. A tensor may be used by one thread at a time. */
#pragma once
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

typedef struct plumb_tensor plumb_tensor;
struct DLManagedTensorVersioned; /* of DLPack 1.x */
struct DLManagedTensor;          /* before 1.0 */

typedef enum plumb_status {
  PLUMB_OK = 0,
  PLUMB_ERROR_SHAPE = 1,    /* shapes that do not fit together */
  PLUMB_ERROR_DTYPE = 2,    /* an element type that the operation does not take */
  PLUMB_ERROR_DEVICE = 3,   /* a device that is not there, or tensors on different ones */
  PLUMB_ERROR_INDEX = 4,    /* an index or dimension outside its range */
  PLUMB_ERROR_VALUE = 5,    /* an argument outside its domain; NULL where a tensor should be */
  PLUMB_ERROR_AUTOGRAD = 6, /* misuse of gradients */
  PLUMB_ERROR_MEMORY = 7,   /* memory that could not be had */
  PLUMB_ERROR_OTHER = 8
} plumb_status;

/* An element type. Not of an enum's type: whatever number a caller gives, the library can look at it and refuse it. */
typedef int32_t plumb_dtype;
enum {
  PLUMB_F64 = 0,
  PLUMB_F32 = 1,
  PLUMB_BF16 = 2,
  PLUMB_F16 = 3,
  PLUMB_I64 = 4,
  PLUMB_I32 = 5,
  PLUMB_U8 = 6,
  PLUMB_BOOL = 7
};

/* "0.1.0" */
const char* plumb_version(void);
/* What the last call on this thread that failed had to say; empty before any. Valid until the next call that fails. */
const char* plumb_last_error(void);
/* Restarts this thread's random numbers. */
void plumb_manual_seed(uint64_t seed);

/* -- tensors: `shape` has `rank` sizes, rank at most 8 ------------------------------------------------------------------- */

plumb_status plumb_zeros(int32_t rank, const int64_t* shape, plumb_dtype dtype, plumb_tensor** out);
plumb_status plumb_full(int32_t rank, const int64_t* shape, double value, plumb_dtype dtype, plumb_tensor** out);
/* Standard normal, f32 or f64. */
plumb_status plumb_randn(int32_t rank, const int64_t* shape, plumb_dtype dtype, plumb_tensor** out);
/* A copy of the row-major elements at `data`, which are of type `dtype`. */
plumb_status plumb_from_data(const void* data, int32_t rank, const int64_t* shape, plumb_dtype dtype, plumb_tensor** out);
/* Nothing for NULL. */
void plumb_free(plumb_tensor* x);

plumb_status plumb_rank(const plumb_tensor* x, int32_t* out);
/* Writes rank sizes, and rank strides in elements. */
plumb_status plumb_shape(const plumb_tensor* x, int64_t* out);
plumb_status plumb_strides(const plumb_tensor* x, int64_t* out);
plumb_status plumb_numel(const plumb_tensor* x, int64_t* out);
plumb_status plumb_dtype_of(const plumb_tensor* x, plumb_dtype* out);
/* The first element; it lives as long as the tensor. */
plumb_status plumb_data(const plumb_tensor* x, void** out);
/* The only element. */
plumb_status plumb_item(const plumb_tensor* x, double* out);

/* -- operations, recorded for backward where an input requires a gradient; a and b broadcast ------------------------------- */

plumb_status plumb_add(const plumb_tensor* a, const plumb_tensor* b, plumb_tensor** out);
plumb_status plumb_sub(const plumb_tensor* a, const plumb_tensor* b, plumb_tensor** out);
plumb_status plumb_mul(const plumb_tensor* a, const plumb_tensor* b, plumb_tensor** out);
plumb_status plumb_div(const plumb_tensor* a, const plumb_tensor* b, plumb_tensor** out);
plumb_status plumb_matmul(const plumb_tensor* a, const plumb_tensor* b, plumb_tensor** out);
plumb_status plumb_exp(const plumb_tensor* x, plumb_tensor** out);
plumb_status plumb_log(const plumb_tensor* x, plumb_tensor** out);
plumb_status plumb_square(const plumb_tensor* x, plumb_tensor** out);
plumb_status plumb_relu(const plumb_tensor* x, plumb_tensor** out);
plumb_status plumb_gelu(const plumb_tensor* x, plumb_tensor** out);
plumb_status plumb_tanh(const plumb_tensor* x, plumb_tensor** out);
plumb_status plumb_sigmoid(const plumb_tensor* x, plumb_tensor** out);
plumb_status plumb_softmax(const plumb_tensor* x, int32_t dim, plumb_tensor** out);
/* Of all elements. */
plumb_status plumb_sum(const plumb_tensor* x, plumb_tensor** out);
plumb_status plumb_mean(const plumb_tensor* x, plumb_tensor** out);
/* The mean of −log softmax(logits)_target: logits [N, C], target i64 [N]. */
plumb_status plumb_cross_entropy(const plumb_tensor* logits, const plumb_tensor* target, plumb_tensor** out);
/* One size may be -1. */
plumb_status plumb_reshape(const plumb_tensor* x, int32_t rank, const int64_t* shape, plumb_tensor** out);
/* A view. */
plumb_status plumb_transpose(const plumb_tensor* x, int32_t dim0, int32_t dim1, plumb_tensor** out);

/* -- gradients ---------------------------------------------------------------------------------------------------------- */

/* Asks for a gradient (on != 0) or gives it up. */
plumb_status plumb_requires_grad(plumb_tensor* x, int32_t on);
/* Adds d x / d leaf to the gradient of every leaf; x has one element. */
plumb_status plumb_backward(const plumb_tensor* x);
/* The gradient that was added up; PLUMB_ERROR_AUTOGRAD before there is one. */
plumb_status plumb_grad(const plumb_tensor* x, plumb_tensor** out);
plumb_status plumb_zero_grad(plumb_tensor* x);
/* The same elements outside the graph. */
plumb_status plumb_detach(const plumb_tensor* x, plumb_tensor** out);
/* x <- x + scale * change in place, unrecorded: a step of gradient descent is plumb_add_scaled(weight, -lr, gradient). `change` may
 * broadcast to the shape of x; an integer x takes whole changes and scales only. */
plumb_status plumb_add_scaled(plumb_tensor* x, double scale, const plumb_tensor* change);

/* -- DLPack: elements shared with another library, not copied -------------------------------------------------------------- */

/* For another library, which calls the deleter. The tensor must not require a gradient (plumb_detach). read_only != 0 asks it not to
 * write; DLPack before 1.0 cannot say so. */
plumb_status plumb_to_dlpack(const plumb_tensor* x, int32_t read_only, struct DLManagedTensorVersioned** out);
plumb_status plumb_to_dlpack_unversioned(const plumb_tensor* x, struct DLManagedTensor** out);
/* From another library: on success the tensor calls the deleter, else `managed` is still the caller's. What is marked read-only is
 * copied. */
plumb_status plumb_from_dlpack(struct DLManagedTensorVersioned* managed, plumb_tensor** out);
plumb_status plumb_from_dlpack_unversioned(struct DLManagedTensor* managed, plumb_tensor** out);

#ifdef __cplusplus
}
#endif
