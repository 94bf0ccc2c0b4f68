//! Compiling a kernel for every instruction set, and choosing when it runs.

/// A function that is compiled once for every instruction set that `pulp` knows, and runs with the best one of this machine.
///
/// The body must consist of loops over slices that the compiler can vectorise; what it calls must be `#[inline(always)]`. The
/// instruction set is the type named behind the bar.
macro_rules! kernel {
    ($(#[$attribute:meta])* fn $name:ident<$life:lifetime, $float:ident | $simd:ident>($($argument:ident: $type:ty),* $(,)?) $body:block) => {
        $(#[$attribute])*
        pub(super) fn $name<$life, $float: Float>($($argument: $type),*) {
            struct Kernel<$life, $float> {
                $($argument: $type,)*
            }

            impl<$life, $float: Float> pulp::WithSimd for Kernel<$life, $float> {
                type Output = ();

                #[inline(always)]
                fn with_simd<$simd: pulp::Simd>(self, _: $simd) {
                    let Self { $($argument),* } = self;
                    $body
                }
            }

            pulp::Arch::new().dispatch(Kernel { $($argument),* })
        }
    };
}

pub(super) use kernel;
