// Raw system calls for the files of this folder: -errno in the result, errno untouched.
// Arguments are integers or pointers; what is left out is passed as 0.
#pragma once
#include <sys/syscall.h>

#include <type_traits>

#if defined(__x86_64__)
#include "arch/amd64/syscall.h"
#elif defined(__aarch64__)
#include "arch/arm64/syscall.h"
#else
#error "rt0 has no port to this processor (amd64 and arm64 exist)"
#endif

namespace rt0::kernel {

template <class T>
inline long syscall_arg(T v) {
    if constexpr (std::is_pointer_v<T>)
        return reinterpret_cast<long>(v);
    else if constexpr (std::is_null_pointer_v<T>)
        return 0;
    else
        return static_cast<long>(v);
}

template <class A = long, class B = long, class C = long, class D = long, class E = long, class F = long>
inline long sysc(long nr, A a = {}, B b = {}, C c = {}, D d = {}, E e = {}, F f = {}) {
    return arch::syscall6(nr, syscall_arg(a), syscall_arg(b), syscall_arg(c), syscall_arg(d), syscall_arg(e),
                          syscall_arg(f));
}

}  // namespace rt0::kernel
