//! Numbers to run plans on where only the time, or the agreement of two devices, matters.

use crate::Result;
use crate::executor::Executor;
use crate::op::Values;
use crate::plan::{Buf, Role, Type};
use crate::tune::ordinary;

/// Fills a buffer with numbers that keep every kernel busy: nothing denormal, nothing constant.
pub(super) fn fill(executor: &mut dyn Executor, buf: Buf, values: Values) -> Result<()> {
    let spec = executor.plan().spec(buf);
    let (len, columns) = (spec.shape.len_u32(), spec.shape.channels());
    if spec.ty == Type::U32 {
        let people = if let Values::Labels { people } = values { people } else { 16 };
        return executor.write_u32(buf, &(0..len).map(|i| i % people).collect::<Vec<_>>());
    }
    let (centre, scale) = match values {
        Values::UnitRows => (0.0, (columns as f32).sqrt().recip()),
        Values::Statistic => (1.0, 0.5),
        Values::Around(centre) => (centre, 1.0),
        _ => (0.0, 0.1),
    };
    executor.write(buf, &ordinary(len as usize, centre, scale))
}

/// Fills everything that a step reads without having written it: inputs, parameters, running statistics.
pub(super) fn fill_all(executor: &mut dyn Executor) -> Result<()> {
    let buffers: Vec<_> = [Role::Input, Role::Constant, Role::Param, Role::Statistic, Role::Derived]
        .into_iter()
        .flat_map(|role| executor.plan().with_role(role).map(|(buf, _)| buf).collect::<Vec<_>>())
        .collect();
    for buf in buffers {
        let spec = executor.plan().spec(buf);
        // A learning rate of zero keeps the weights as they are from run to run.
        if spec.name == "learning rate" {
            executor.write(buf, &[0.0])?;
        } else {
            let values = if spec.role == Role::Statistic { Values::Statistic } else { Values::Normal };
            fill(executor, buf, values)?;
        }
    }
    Ok(())
}
