/* The C API from C99: values, gradients, errors by code and message, DLPack's bytes as the specification has them. */
#include "capi/plumb.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static int failures = 0;

static void check(int holds, const char* what, int line) {
  if (holds) return;
  fprintf(stderr, "line %d: %s; last error: %s\n", line, what, plumb_last_error());
  ++failures;
}
#define CHECK(condition) check(condition, #condition, __LINE__)
#define OK(call) check((call) == PLUMB_OK, #call, __LINE__)
#define NEAR(a, b) CHECK(fabs((a) - (b)) <= 1e-6)

/* As in the specification of DLPack 1.0. */
typedef struct {
  void* data;
  struct {
    int32_t type, index;
  } device;
  int32_t rank;
  struct {
    uint8_t code, bits;
    uint16_t lanes;
  } dtype;
  int64_t *shape, *strides;
  uint64_t byte_offset;
} Array;
struct DLManagedTensorVersioned {
  struct {
    uint32_t major, minor;
  } version;
  void* context;
  void (*deleter)(struct DLManagedTensorVersioned*);
  uint64_t flags;
  Array array;
};

static plumb_tensor* matrix(int64_t rows, int64_t columns, const float* values) {
  int64_t shape[2];
  plumb_tensor* x = NULL;
  shape[0] = rows;
  shape[1] = columns;
  OK(plumb_from_data(values, 2, shape, PLUMB_F32, &x));
  return x;
}

static double item(const plumb_tensor* x) {
  double value = NAN;
  OK(plumb_item(x, &value));
  return value;
}

static void operations_compute(void) {
  const float a_values[] = {1, 2, 3, 4}, b_values[] = {1, 0, 0, 2};
  plumb_tensor *a = matrix(2, 2, a_values), *b = matrix(2, 2, b_values), *product, *softened, *total, *row, *turned;
  int64_t shape[] = {4}, sizes[2] = {0, 0}, strides[2], count = 0, any[] = {-1};
  int32_t rank = -1;
  plumb_dtype dtype;
  void* data;
  OK(plumb_matmul(a, b, &product));
  OK(plumb_data(product, &data));
  CHECK(((float*)data)[1] == 4 && ((float*)data)[3] == 8);
  OK(plumb_softmax(a, -1, &softened));
  OK(plumb_sum(softened, &total));
  NEAR(item(total), 2);
  OK(plumb_reshape(a, 1, shape, &row));
  plumb_free(row);
  OK(plumb_reshape(a, 1, any, &row));
  OK(plumb_rank(row, &rank));
  OK(plumb_numel(row, &count));
  CHECK(rank == 1 && count == 4);
  OK(plumb_transpose(a, 0, 1, &turned));
  OK(plumb_shape(turned, sizes));
  OK(plumb_strides(turned, strides));
  OK(plumb_dtype_of(turned, &dtype));
  CHECK(sizes[0] == 2 && strides[0] == 1 && strides[1] == 2 && dtype == PLUMB_F32);
  plumb_free(a);  /* the view keeps the elements */
  OK(plumb_data(turned, &data));
  CHECK(((float*)data)[0] == 1);
  plumb_free(b), plumb_free(product), plumb_free(softened), plumb_free(total), plumb_free(row), plumb_free(turned);
  plumb_free(NULL);
}

/* Fits y = 2 x0 - 3 x1 by gradient descent. */
static void a_line_is_learned(void) {
  const float x_values[] = {1, 0, 0, 1, 1, 1, 2, -1}, y_values[] = {2, -3, -1, 7};
  plumb_tensor *x = matrix(4, 2, x_values), *y = matrix(4, 1, y_values), *weight;
  int64_t shape[] = {2, 1};
  double first = 0, last = 0;
  void* data;
  int step;
  OK(plumb_zeros(2, shape, PLUMB_F32, &weight));
  OK(plumb_requires_grad(weight, 1));
  for (step = 0; step < 300; ++step) {
    plumb_tensor *prediction, *error, *squares, *loss, *gradient;
    OK(plumb_matmul(x, weight, &prediction));
    OK(plumb_sub(prediction, y, &error));
    OK(plumb_square(error, &squares));
    OK(plumb_mean(squares, &loss));
    last = item(loss);
    if (step == 0) first = last;
    OK(plumb_zero_grad(weight));
    OK(plumb_backward(loss));
    OK(plumb_grad(weight, &gradient));
    OK(plumb_add_scaled(weight, -0.1, gradient));
    plumb_free(prediction), plumb_free(error), plumb_free(squares), plumb_free(loss), plumb_free(gradient);
  }
  OK(plumb_data(weight, &data));
  NEAR(first, 63.0 / 4);
  CHECK(last < 1e-6);
  CHECK(fabs(((float*)data)[0] - 2) < 1e-3 && fabs(((float*)data)[1] + 3) < 1e-3);
  plumb_free(x), plumb_free(y), plumb_free(weight);
}

static void errors_have_a_code_and_a_message(void) {
  const float values[] = {1, 2, 3, 4, 5, 6};
  plumb_tensor *a = matrix(2, 3, values), *out = NULL, *untouched = a;
  int64_t negative[] = {-2}, long_shape[] = {1, 1, 1, 1, 1, 1, 1, 1, 1};
  double value;
  CHECK(plumb_matmul(a, a, &out) == PLUMB_ERROR_SHAPE);
  CHECK(strstr(plumb_last_error(), "matmul") && strstr(plumb_last_error(), "[2, 3]"));
  CHECK(out == NULL);
  CHECK(plumb_softmax(a, 5, &untouched) == PLUMB_ERROR_INDEX && untouched == a);
  CHECK(plumb_item(a, &value) == PLUMB_ERROR_SHAPE);
  CHECK(plumb_backward(a) == PLUMB_ERROR_AUTOGRAD || plumb_backward(a) == PLUMB_ERROR_SHAPE);
  CHECK(plumb_grad(a, &out) == PLUMB_ERROR_AUTOGRAD);
  CHECK(plumb_zeros(1, negative, PLUMB_F32, &out) == PLUMB_ERROR_VALUE);
  CHECK(!strcmp(plumb_last_error(), "plumb: a size of -2 in a shape"));
  CHECK(plumb_zeros(9, long_shape, PLUMB_F32, &out) == PLUMB_ERROR_SHAPE);
  CHECK(plumb_zeros(1, NULL, PLUMB_F32, &out) == PLUMB_ERROR_VALUE);
  CHECK(plumb_zeros(0, NULL, 99, &out) == PLUMB_ERROR_DTYPE && plumb_zeros(0, NULL, -1, &out) == PLUMB_ERROR_DTYPE);
  CHECK(plumb_add(NULL, a, &out) == PLUMB_ERROR_VALUE && !strcmp(plumb_last_error(), "plumb: NULL in the place of a tensor"));
  CHECK(plumb_add(a, a, NULL) == PLUMB_ERROR_VALUE && !strcmp(plumb_last_error(), "plumb: NULL in the place of a result"));
  CHECK(plumb_from_dlpack(NULL, &out) == PLUMB_ERROR_VALUE);
  {
    const unsigned char flags[] = {1, 2};
    const int64_t whole[] = {5, 6}, two[] = {2};
    plumb_tensor* n = NULL;
    CHECK(plumb_from_data(flags, 1, two, PLUMB_BOOL, &out) == PLUMB_ERROR_VALUE);
    CHECK(!strcmp(plumb_last_error(), "plumb_from_data: an element of a bool tensor is neither 0 nor 1"));
    OK(plumb_from_data(whole, 1, two, PLUMB_I64, &n));
    CHECK(plumb_add_scaled(n, 0.5, n) == PLUMB_ERROR_DTYPE);
    CHECK(!strcmp(plumb_last_error(), "plumb_add_scaled: a fraction does not fit into a tensor of i64"));
    plumb_free(n);
  }
  CHECK(out == NULL);
  plumb_free(a);
}

static int let_go = 0;
static void count(struct DLManagedTensorVersioned* managed) {
  (void)managed;
  ++let_go;
}

static void dlpack_shares_elements(void) {
  float values[] = {1, 2, 3, 4, 5, 6};
  int64_t shape[] = {3, 2}, strides[] = {1, 3};
  struct DLManagedTensorVersioned foreign, *given = NULL;
  plumb_tensor *x = NULL, *total;
  memset(&foreign, 0, sizeof foreign);
  foreign.version.major = 1;
  foreign.deleter = count;
  foreign.array.data = values;
  foreign.array.device.type = 1;
  foreign.array.rank = 2;
  foreign.array.dtype.code = 2;
  foreign.array.dtype.bits = 32;
  foreign.array.dtype.lanes = 1;
  foreign.array.shape = shape;
  foreign.array.strides = strides;
  OK(plumb_from_dlpack(&foreign, &x));
  values[5] = 60;
  OK(plumb_sum(x, &total));
  NEAR(item(total), 75);
  OK(plumb_to_dlpack(x, 1, &given));
  plumb_free(x);
  CHECK(given->array.data == values && given->array.shape[0] == 3 && given->array.strides[1] == 3 && given->flags == 1);
  CHECK(given->version.major == 1 && given->array.dtype.code == 2 && given->array.dtype.bits == 32);
  CHECK(let_go == 0);
  given->deleter(given);
  CHECK(let_go == 1);
  plumb_free(total);
}

int main(void) {
  CHECK(!strcmp(plumb_last_error(), ""));
  CHECK(strlen(plumb_version()) >= 5);
  operations_compute();
  a_line_is_learned();
  errors_have_a_code_and_a_message();
  dlpack_shares_elements();
  if (failures) return EXIT_FAILURE;
  printf("the C API holds\n");
  return EXIT_SUCCESS;
}
