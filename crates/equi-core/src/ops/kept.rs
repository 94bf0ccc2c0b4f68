//! What operations keep for their gradients beside their arguments.

use std::any::Any;
use std::fmt;
use std::sync::{Arc, Mutex};

/// A place where an operation may leave what its gradient would have to compute again. Backends that leave nothing there compute it again.
#[derive(Clone, Default)]
pub struct Kept(Arc<Mutex<Option<Box<dyn Any + Send>>>>);

impl Kept {
    #[cfg_attr(not(feature = "flex"), allow(dead_code))]
    pub(super) fn put<T: Any + Send>(&self, values: T) {
        if let Ok(mut place) = self.0.lock() {
            *place = Some(Box::new(values));
        }
    }

    /// What was left, for the first who asks.
    #[cfg_attr(not(feature = "flex"), allow(dead_code))]
    pub(super) fn take<T: Any>(&self) -> Option<T> {
        let values = self.0.lock().ok()?.take()?;
        values.downcast().ok().map(|values| *values)
    }
}

impl fmt::Debug for Kept {
    fn fmt(&self, formatter: &mut fmt::Formatter) -> fmt::Result {
        formatter.write_str("Kept")
    }
}
