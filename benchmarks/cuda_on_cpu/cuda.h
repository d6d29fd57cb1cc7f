// What CuPy's kernels find when CUDA compiles them, for a compiler of the CPU.
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <type_traits>

#define __device__
#define __host__
#define __forceinline__ inline
#define __restrict__
#define __ldg(pointer) (*(pointer))

using std::isfinite; using std::isinf; using std::isnan; using std::signbit;
using std::exp; using std::exp2; using std::expm1; using std::log; using std::log1p; using std::log2;
using std::sqrt; using std::fabs; using std::floor; using std::ceil; using std::rint; using std::trunc;
using std::tanh; using std::sinh; using std::cosh; using std::sin; using std::cos; using std::erf;
using std::erfc; using std::pow; using std::fma; using std::copysign; using std::fmod; using std::abs;

// NVRTC includes no headers of C, so it knows none of these.
#undef INFINITY
#undef NAN
#undef HUGE_VAL

// CuPy's: computing makes floats of them, and only floats become one by themselves.
class float16 {
    _Float16 data_;
public:
    float16() {}
    float16(float x) : data_(x) {}
    template <typename T, typename = typename std::enable_if<std::is_arithmetic<T>::value>::type>
    explicit float16(T x) : data_((float)x) {}
    operator float() const { return data_; }
    float16 &operator=(const float16 &) = default;
    template <typename T> float16 &operator=(const T &x) { return *this = static_cast<float16>(x); }
};

static inline float rsqrt(float x) { return 1 / std::sqrt(x); }
static inline double rsqrt(double x) { return 1 / std::sqrt(x); }
static inline float rsqrtf(float x) { return 1 / std::sqrt(x); }
#define __expf(x) std::exp((float)(x))  // names that the C library has taken
#define __logf(x) std::log((float)(x))
static inline float __fdividef(float x, float y) { return x / y; }
static inline float __int_as_float(int x) { float y; __builtin_memcpy(&y, &x, 4); return y; }
static inline int __float_as_int(float x) { int y; __builtin_memcpy(&y, &x, 4); return y; }
static inline unsigned __umulhi(unsigned x, unsigned y) { return (unsigned long long)x * y >> 32; }
static inline unsigned long long __umul64hi(unsigned long long x, unsigned long long y) {
    return (unsigned __int128)x * y >> 64;
}

// CUDA's overloads, and no template: max of a float and an int is as ambiguous there.
#define BOTH(T) \
    static inline T max(T x, T y) { return x > y ? x : y; } \
    static inline T min(T x, T y) { return x < y ? x : y; }
#define BOTH_FLOATING(T, U, R) \
    static inline R max(T x, U y) { return std::fmax((R)x, (R)y); } \
    static inline R min(T x, U y) { return std::fmin((R)x, (R)y); }
BOTH(int) BOTH(unsigned) BOTH(long) BOTH(unsigned long) BOTH(long long) BOTH(unsigned long long)
BOTH_FLOATING(float, float, float) BOTH_FLOATING(double, double, double)
BOTH_FLOATING(float, double, double) BOTH_FLOATING(double, float, double)

#define ATOMIC(T) \
    static inline T atomicAdd(T *at, T x) { T old = *at; *at = old + x; return old; }
ATOMIC(int) ATOMIC(unsigned) ATOMIC(unsigned long long) ATOMIC(float) ATOMIC(double) ATOMIC(float16)
#define ATOMIC_OF_INTEGERS(T) \
    static inline T atomicMax(T *at, T x) { T old = *at; if (x > old) *at = x; return old; } \
    static inline T atomicMin(T *at, T x) { T old = *at; if (x < old) *at = x; return old; } \
    static inline T atomicExch(T *at, T x) { T old = *at; *at = x; return old; } \
    static inline T atomicCAS(T *at, T was, T x) { T old = *at; if (old == was) *at = x; return old; }
ATOMIC_OF_INTEGERS(int) ATOMIC_OF_INTEGERS(unsigned) ATOMIC_OF_INTEGERS(unsigned long long)

// Where the loop is: CuPy's, without its number of axes, which CUDA wants to know and nobody else.
class CIndexer {
    ptrdiff_t size_; int ndim_; const ptrdiff_t *shape_; ptrdiff_t index_[64];
public:
    CIndexer(ptrdiff_t size, int ndim, const ptrdiff_t *shape) : size_(size), ndim_(ndim), shape_(shape) {}
    ptrdiff_t size() const { return size_; }
    const ptrdiff_t *get() const { return index_; }
    const ptrdiff_t *shape() const { return shape_; }
    void set(ptrdiff_t i) {
        for (int axis = ndim_; axis-- > 0; i /= shape_[axis]) index_[axis] = i % shape_[axis];
    }
    ptrdiff_t bytes(const ptrdiff_t *strides) const {
        ptrdiff_t sum = 0;
        for (int axis = 0; axis < ndim_; ++axis) sum += index_[axis] * strides[axis];
        return sum;
    }
};

static ptrdiff_t outside_ = 0;  // accesses beyond an array's end, which a GPU would not notice

// A raw argument.
template <typename T> class CArray {
    T *data_; ptrdiff_t size_;
public:
    CArray(void *data, ptrdiff_t size) : data_((T *)data), size_(size) {}
    ptrdiff_t size() const { return size_; }
    T &operator[](ptrdiff_t k) const {
        static typename std::remove_const<T>::type nothing;
        if (k < 0 || k >= size_) { ++outside_; return nothing; }
        return data_[k];
    }
};

#define std nvrtc_has_no_standard_library
