// Which machine runs this code, in a model build; nothing in others.
#include "arch/model.h"

#ifdef RT_MODEL
namespace rt0::arch {

thread_local constinit model_machine* model_now = nullptr;

}  // namespace rt0::arch
#endif
